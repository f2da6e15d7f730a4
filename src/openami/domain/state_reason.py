"""Why a resource is in its state: a code and a sentence, as EC2's StateReason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReason:
    """`code` is `Client.…` where the caller can mend it and `Server.…` where the operator can.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
    """

    code: str
    message: str
