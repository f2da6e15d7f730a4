"""A key pair: a public key under a name. openami never keeps a private key."""

from dataclasses import dataclass
from datetime import datetime

from openami.domain.ids import AccountId, KeyPairId, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """`public_key` is one OpenSSH line; `key_type` is "rsa" or "ed25519"."""

    id: KeyPairId
    region: Region
    owner: AccountId
    name: str
    key_type: str
    fingerprint: str
    public_key: str
    created_at: datetime
