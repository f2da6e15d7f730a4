"""A bucket: a name that one account of this server owns.

Names: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Region

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?![.-])){1,61}[a-z0-9]")
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
