"""Time and chance as this machine has them: the one place that reads either."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta


class RealClock:
    """The machine's clock, in UTC, and so many seconds more."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead  # noqa: TID251, the one place that may


class RealIds:
    """Chance from the operating system."""

    def new(self, prefix: str) -> str:
        return f"{prefix}-0{secrets.token_hex(8)}"

    def request_id(self) -> str:
        return str(uuid.uuid4())  # noqa: TID251, the one place that may

    def token(self, byte_count: int) -> str:
        return secrets.token_urlsafe(byte_count)
