"""Session tokens of IMDSv2 that need no memory: a guest may ask for a million of them.

A token says until when it holds, signed for one instance with a secret of this process. After
a restart none holds any more: clients get 401 and ask for a new one, as they must anyway.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html
"""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import datetime, timedelta
from typing import Final

from openami.domain.ids import Clock, Ids, InstanceId

TTL_S_MAX: Final = 21600
_EXPIRY: Final = struct.Struct(">Q")


class Tokens:
    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._secret = ids.token(32).encode()

    def issue(self, instance_id: InstanceId, ttl_s: int) -> str:
        until = self._clock.now() + timedelta(seconds=ttl_s)
        return self._token(instance_id, _EXPIRY.pack(_seconds(until)))

    def holds(self, instance_id: InstanceId, token: str) -> bool:
        try:
            until = base64.b64decode(token.encode(), altchars=b"-_", validate=True)[: _EXPIRY.size]
        except binascii.Error:
            return False
        if len(until) != _EXPIRY.size:
            return False
        ours = self._token(instance_id, until)
        alive = _seconds(self._clock.now()) < _EXPIRY.unpack(until)[0]
        return hmac.compare_digest(ours.encode(), token.encode()) and alive

    def _token(self, instance_id: InstanceId, until: bytes) -> str:
        """56 characters, as long as EC2's."""
        signed = instance_id.encode() + b"\0" + until
        seal = hmac.digest(self._secret, signed, hashlib.sha256)
        return base64.urlsafe_b64encode(until + seal).decode()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
