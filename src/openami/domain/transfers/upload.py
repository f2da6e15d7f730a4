"""Checksums of an upload in parts, which who resumes it asks for.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_ALGORITHMS: Final = ("SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME")
_VALUE: Final = re.compile(r"[A-Za-z0-9+/]{1,86}={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartChecksum:
    """Of one part; of the upload itself as part 0, without a value."""

    part_number: int
    algorithm: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadChecksums:
    """`algorithm` is None for an upload that was begun without one."""

    algorithm: str | None = None
    parts: Mapping[int, PartChecksum] = field(default_factory=dict[int, PartChecksum])


def checked_algorithm(name: str) -> str | None:
    """S3's name of it, or None for what is none."""
    return name.upper() if name.upper() in _ALGORITHMS else None


def part_checksum(part_number: str, headers: Mapping[str, str]) -> PartChecksum | None:
    """What an answer's headers tell of a part, if they do."""
    if re.fullmatch(r"[1-9][0-9]{0,4}", part_number) is None:
        return None
    for algorithm in _ALGORITHMS:
        value = headers.get(f"x-amz-checksum-{algorithm.lower()}", "")
        if _VALUE.fullmatch(value):
            return PartChecksum(part_number=int(part_number), algorithm=algorithm, value=value)
    return None
