"""Who is asking, and in which region."""

from dataclasses import dataclass

from openami.domain.ids import AccountId, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The account of the access key and the region of the signature's scope."""

    account: AccountId
    region: Region
    request_id: str
    access_key_id: str = ""
