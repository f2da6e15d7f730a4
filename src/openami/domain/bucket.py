"""A bucket: a name that one account of this server owns.

Names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.ids import AccountId, Region

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?![.-])){1,61}[a-z0-9]")
_KEY_BYTES_MAX: Final = 1024
_ADDRESS: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Its objects are the S3 store's; whose they are is here."""

    name: str
    region: Region
    owner: AccountId
    created_at: datetime


def is_bucket_name(name: str) -> bool:
    return (
        _NAME.fullmatch(name) is not None and "-." not in name and _ADDRESS.fullmatch(name) is None
    )


def checked_bucket_name(name: str) -> str:
    """Raises InvalidBucketName."""
    if not is_bucket_name(name):
        raise EC2Error.of("InvalidBucketName", "The specified bucket is not valid.")
    return name


def checked_object_key(key: str) -> str:
    """`key` if every part of openami and its S3 store reads it as one and the same object.

    Raises InvalidParameterValue: S3 itself takes any text.
    """
    odd = any(part in ("", ".", "..") for part in key.split("/"))
    if odd or not key.isprintable() or len(key.encode()) > _KEY_BYTES_MAX:
        raise InvalidParameterValue(
            f"The object key {key[:80]!r} is not taken: it is 1 to {_KEY_BYTES_MAX} bytes of"
            " printable text, without empty segments and without '.' and '..' as one."
        )
    return key
