"""Which instance types an image is for, in its owner's words.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceImageInstanceTypeSpecification.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openami.domain.errors import InvalidParameterValue

ENTRIES_MAX: Final = 100

_ENTRY: Final = re.compile(r"[A-Za-z0-9_.*-]{1,24}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTypeSpecification:
    """Names of types, in which `*` stands for any characters. Without any, all types will do."""

    supported: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()

    def allows(self, instance_type: str) -> bool:
        """Whether the type is among the supported, if there are any, and not unsupported."""
        if self.supported and not _any_matches(self.supported, instance_type):
            return False
        return not _any_matches(self.unsupported, instance_type)


ANY_TYPE: Final = InstanceTypeSpecification()


def _any_matches(entries: Sequence[str], instance_type: str) -> bool:
    patterns = (re.escape(entry).replace(r"\*", ".*") for entry in entries)
    return any(re.fullmatch(pattern, instance_type) for pattern in patterns)


def checked_specification(
    supported: Sequence[str], unsupported: Sequence[str]
) -> InstanceTypeSpecification:
    """The two lists. Raises InvalidParameterValue for a bad, a repeated or one entry too many."""
    for entries in (supported, unsupported):
        if len(entries) > ENTRIES_MAX:
            raise InvalidParameterValue(
                f"An instance type specification has at most {ENTRIES_MAX} entries in each list."
            )
    seen: set[str] = set()
    for entry in (*supported, *unsupported):
        if _ENTRY.fullmatch(entry) is None or "**" in entry:
            raise InvalidParameterValue(f"'{entry}' is not a valid instance type or pattern.")
        if entry in seen:
            raise InvalidParameterValue(f"The instance type '{entry}' is specified twice.")
        seen.add(entry)
    return InstanceTypeSpecification(supported=tuple(supported), unsupported=tuple(unsupported))
