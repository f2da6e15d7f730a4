"""A request's client token, with a digest of all else that the request says."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from openami.domain.idempotency import ClientToken

_CHARACTERS_MAX: Final = 64


def fingerprinted(operation_name: str, request: Mapping[str, Any]) -> ClientToken | None:
    """None for a request without a ClientToken."""
    token: str | None = request.get("ClientToken")
    if not token:
        return None
    rest = {name: value for name, value in request.items() if name != "ClientToken"}
    text = json.dumps(rest, sort_keys=True, default=repr)
    return ClientToken(
        operation=operation_name,
        # One that is too long for the catalog's column stands there by its digest.
        token=token if len(token) <= _CHARACTERS_MAX else _digest(token),
        fingerprint=_digest(text),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
