"""Every operation of the Recycle Bin that openami answers."""

from collections.abc import Mapping
from typing import Final

from openami.doors.operation import Operation
from openami.rbin import rules

OPERATIONS: Final[Mapping[str, Operation]] = {**rules.OPERATIONS}
