"""Every operation of the Data Lifecycle Manager that openami answers."""

from collections.abc import Mapping
from typing import Final

from openami.dlm import policies
from openami.doors.operation import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {**policies.OPERATIONS}
