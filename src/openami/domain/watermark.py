"""Watermarks: where an image comes from, in words that its derivatives keep.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-watermark.html
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import AccountId, ImageId, Region

WATERMARKS_MAX: Final = 5
"""How many an image may have, those included that it inherited."""

_NAME: Final = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """`key` is "account:name". The source is the image to which it was first attached."""

    key: str
    source_image_id: ImageId
    source_image_region: Region
    source_image_created_at: datetime
    attached_at: datetime


def watermark_key(account: AccountId, name: str) -> str:
    """The key of `account`'s watermark. Raises InvalidParameterValue for a name EC2 refuses."""
    if _NAME.fullmatch(name) is None:
        raise InvalidParameterValue(
            f"The watermark name '{name}' is invalid: it must be between 3 and 128 characters"
            " long and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-',"
            " ''', '@' and '_'"
        )
    return f"{account}:{name}"


def checked_watermark_key(key: str) -> str:
    """`key` if it has the form of one. Raises InvalidParameterValue."""
    account, colon, name = key.partition(":")
    well_formed = re.fullmatch(r"[0-9]{12}", account) and colon and _NAME.fullmatch(name)
    if not well_formed:
        raise InvalidParameterValue(
            f"The watermark key '{key}' is invalid: its form is accountId:watermarkName"
        )
    return key
