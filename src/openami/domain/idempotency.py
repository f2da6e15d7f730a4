"""A client token: what makes the same request twice one effect.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Run_Instance_Idempotency.html
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientToken:
    """A caller's token for one operation, and the digest of everything else in the request."""

    operation: str
    token: str
    fingerprint: str
