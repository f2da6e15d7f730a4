"""Every operation of the EBS direct APIs that openami answers."""

from collections.abc import Mapping
from typing import Final

from openami.doors.operation import Operation
from openami.ebs import reads, writes

OPERATIONS: Final[Mapping[str, Operation]] = {**reads.OPERATIONS, **writes.OPERATIONS}
