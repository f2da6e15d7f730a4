"""When an image is out of date, and what keeps it from being deregistered by mistake.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deregistration-protection.html
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.errors import InvalidParameterValue, OperationNotPermitted

# Years with the leap days that they have at most, so that what a calendar allows is allowed.
DEPRECATION_MAX: Final = timedelta(days=3653)
PUBLIC_DEPRECATION_MAX: Final = timedelta(days=731)
COOLDOWN: Final = timedelta(hours=24)


class DeregistrationProtection(StrEnum):
    DISABLED = "disabled"
    ENABLED = "enabled-without-cooldown"
    ENABLED_WITH_COOLDOWN = "enabled-with-cooldown"


def checked_deprecation(
    asked: datetime, now: datetime, public_since_creation: datetime | None
) -> datetime:
    """The minute nearest to `asked`. Raises InvalidParameterValue for one too early or too late.

    `public_since_creation` is a public image's creation: its limit counts from there.
    """
    if asked < now:
        raise InvalidParameterValue(f"The deprecation date {iso(asked)} is in the past")
    if asked > now + DEPRECATION_MAX:
        raise InvalidParameterValue(
            f"The deprecation date {iso(asked)} is more than 10 years from now"
        )
    if public_since_creation is not None and asked > public_since_creation + PUBLIC_DEPRECATION_MAX:
        raise InvalidParameterValue(
            f"The deprecation date {iso(asked)} is more than 2 years after the creation of the"
            " public AMI"
        )
    return (asked + timedelta(seconds=30)).replace(second=0, microsecond=0)


def check_unprotected(
    image_id: str, protection: DeregistrationProtection, until: datetime | None, now: datetime
) -> None:
    """Raises OperationNotPermitted for an image that must not be deregistered now."""
    if protection is not DeregistrationProtection.DISABLED:
        raise OperationNotPermitted(
            f"The image '{image_id}' may not be deregistered: deregistration protection is"
            " enabled. Disable it with DisableImageDeregistrationProtection and try again."
        )
    if until is not None and now < until:
        raise OperationNotPermitted(
            f"The image '{image_id}' may not be deregistered: deregistration protection is"
            f" disabled, but its cooldown lasts until {iso(until)}."
        )


def iso(at: datetime) -> str:
    """An instant as EC2's answers write it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
