"""Every SSM operation that openami answers: the parameter store's."""

from collections.abc import Mapping
from typing import Final

from openami.doors.operation import Operation
from openami.ssm import parameters

OPERATIONS: Final[Mapping[str, Operation]] = {**parameters.OPERATIONS}
