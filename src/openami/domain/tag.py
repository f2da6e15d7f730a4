"""Tags: what may be one, and how many a resource may have.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
"""

from collections.abc import Iterable, Mapping
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterValue

TAGS_MAX: Final = 50
KEY_CHARACTERS_MAX: Final = 128
VALUE_CHARACTERS_MAX: Final = 256

SHARED_PREFIX: Final = "ec2:SharedTag/"
"""Keys by which an image's owner tags it for all who may see it. Of other kinds they are ordinary.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-explicit.html
"""


def checked_tags(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a dict. Raises what EC2 raises for a bad key, a bad value, a repeated key."""
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not key or len(key) > KEY_CHARACTERS_MAX:
            raise InvalidParameterValue(
                f"Tag key exceeds the maximum length of {KEY_CHARACTERS_MAX} characters"
                if key
                else "Tag key cannot be empty"
            )
        if is_reserved(key):
            raise InvalidParameterValue(
                f"Tag keys starting with 'aws:' are reserved for internal use: {key}"
            )
        if len(value) > VALUE_CHARACTERS_MAX:
            raise InvalidParameterValue(
                f"Tag value exceeds the maximum length of {VALUE_CHARACTERS_MAX} characters"
            )
        if key in tags:
            raise InvalidParameterValue(f"Duplicate tag key '{key}' specified.")
        tags[key] = value
    check_count(tags)
    return tags


def any_shared(keys: Iterable[str]) -> bool:
    return any(key.startswith(SHARED_PREFIX) for key in keys)


def is_reserved(key: str) -> bool:
    """Whether only AWS itself gives such tags. They do not count, and no caller takes them away."""
    return key.lower().startswith("aws:")


def check_count(tags: Mapping[str, str]) -> None:
    if sum(not is_reserved(key) for key in tags) > TAGS_MAX:
        raise EC2Error.of(
            "TagLimitExceeded",
            f"The maximum number of Tags for a resource has been reached ({TAGS_MAX}).",
        )
