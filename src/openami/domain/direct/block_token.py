"""Block tokens: what a listing hands out for a block, and a reading of the block has to show.

A token says until when it is good, and proves by an HMAC that we made it, for that block of that
snapshot. So it needs no row, and is good after a restart.
https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-elements.html
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from openami.domain.ids import SnapshotId

LIFE: Final = timedelta(days=7)
_STAMP_BYTES: Final = 8


def token_of(key: bytes, snapshot_id: SnapshotId, index: int, expires_at: datetime) -> str:
    """The token of a block. It fits AWS's pattern: base64, at most 256 characters."""
    stamp = int(expires_at.timestamp()).to_bytes(_STAMP_BYTES, "big")
    return base64.b64encode(stamp + _proof(key, snapshot_id, index, stamp)).decode()


def is_good(key: bytes, token: str, snapshot_id: SnapshotId, index: int, now: datetime) -> bool:
    """Whether the token is of this block of this snapshot, and its time is not over."""
    try:
        text = base64.b64decode(token, validate=True)
    except (ValueError, binascii.Error):
        return False
    stamp, proof = text[:_STAMP_BYTES], text[_STAMP_BYTES:]
    if not hmac.compare_digest(proof, _proof(key, snapshot_id, index, stamp)):
        return False
    return now.timestamp() < int.from_bytes(stamp, "big")


def _proof(key: bytes, snapshot_id: SnapshotId, index: int, stamp: bytes) -> bytes:
    return hmac.digest(key, b"%s:%d:%s" % (snapshot_id.encode(), index, stamp), hashlib.sha256)
