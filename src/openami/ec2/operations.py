"""Every EC2 operation that openami answers. What is not in this table is not implemented."""

from collections.abc import Mapping
from typing import Final

from openami.ec2.operation import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {}
