"""What a transfer that ended could not take back out of a bucket."""

from dataclasses import dataclass

from openami.domain.ids import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftUpload:
    """Parts of an upload that never ended; with `is_object`, maybe the whole object, too.

    In a bucket that is not its `owner`'s any more nothing is touched.
    """

    bucket: str
    key: str
    owner: AccountId
    is_object: bool
