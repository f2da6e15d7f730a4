"""S3's chunked bodies, decoded and, where their chunks are signed, verified.

Each chunk is `<size in hex>[;chunk-signature=<hex>]` CRLF, its bytes, CRLF; one of size 0 ends
them; with a trailer, header lines follow (a checksum, and its signature).
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from openami.wire import sigv4
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import Claim

_LINE_BYTES_MAX: Final = 4096
_TRAILER_BYTES_MAX: Final = 16 * 1024
_HEAD: Final = re.compile(rb"([0-9a-fA-F]{1,15})(?:;chunk-signature=([0-9a-f]{64}))?")
_NOTHING: Final = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What the signature of the first chunk begins from."""

    key: bytes
    scope: str
    instant: str
    signature: str

    @classmethod
    def of(cls, secret: str, claim: Claim) -> Self:
        return cls(
            key=sigv4.signing_key(secret, claim),
            scope=claim.scope,
            instant=claim.signed_at.strftime(sigv4.ISO_BASIC),
            signature=claim.signature,
        )


class Decoder:
    """The plain bytes of a body, in order. The last ones are held back until all is verified.

    `trailers` are the lines after the last chunk, when the body has ended.
    """

    def __init__(self, *, seed: Seed | None, trailer: bool) -> None:
        self._seed, self._with_trailer = seed, trailer
        self._previous = seed.signature if seed is not None else ""
        self._buffer = bytearray()
        self._left = -1  # bytes of the chunk still to come; -1: a head is due
        self._claimed = ""
        self._hash = hashlib.sha256()
        self._ended = False
        self._held = b""
        self.trailers: dict[str, str] = {}

    def take(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        while not self._ended:
            part = self._chunk_bytes() if self._left >= 0 else self._head()
            if part is None:
                return
            if part:
                held, self._held = self._held, part
                if held:
                    yield held
        if len(self._buffer) > _TRAILER_BYTES_MAX:
            raise _incomplete("the trailer is too long")

    def end(self) -> Iterator[bytes]:
        if not self._ended:
            raise _incomplete("the body ended within a chunk")
        self._read_trailer()
        if self._held:
            yield self._held

    def _head(self) -> bytes | None:
        at = self._buffer.find(b"\r\n")
        if at < 0:
            if len(self._buffer) > _LINE_BYTES_MAX:
                raise _incomplete("a chunk's first line is too long")
            return None
        found = _HEAD.fullmatch(bytes(self._buffer[:at]))
        if found is None or (found[2] is None) != (self._seed is None):
            raise _incomplete("a chunk does not begin with its size and signature")
        del self._buffer[: at + 2]
        self._left, self._claimed = int(found[1], 16), (found[2] or b"").decode()
        self._hash = hashlib.sha256()
        if self._left == 0:
            self._check("AWS4-HMAC-SHA256-PAYLOAD", _NOTHING, self._hash.hexdigest())
            self._ended = True
        return b""

    def _chunk_bytes(self) -> bytes | None:
        """More of the chunk, or b"" when it has ended and holds; None: wait for more."""
        if self._left > 0:
            part = bytes(self._buffer[: self._left])
            if not part:
                return None
            del self._buffer[: len(part)]
            self._left -= len(part)
            self._hash.update(part)
            return part
        if len(self._buffer) < 2:
            return None
        if not self._buffer.startswith(b"\r\n"):
            raise _incomplete("a chunk is longer than it says")
        del self._buffer[:2]
        self._check("AWS4-HMAC-SHA256-PAYLOAD", _NOTHING, self._hash.hexdigest())
        self._left = -1
        return b""

    def _check(self, algorithm: str, *digests: str) -> None:
        if self._seed is None:
            return
        text = "\n".join(
            (algorithm, self._seed.instant, self._seed.scope, self._previous, *digests)
        )
        expected = hmac.new(self._seed.key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, self._claimed):
            raise sigv4.mismatch()
        self._previous = expected

    def _read_trailer(self) -> None:
        lines = [line for line in bytes(self._buffer).decode("latin-1").split("\r\n") if line]
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise _incomplete("the trailer is not made of headers")
            self.trailers[name.strip().lower()] = value.strip()
        self._claimed = self.trailers.pop("x-amz-trailer-signature", "")
        if not self._with_trailer:
            if self.trailers:
                raise _incomplete("a trailer was not announced")
            return
        text = "".join(f"{name}:{value}\n" for name, value in self.trailers.items())
        self._check("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(text.encode()).hexdigest())


def encoded(part: bytes) -> bytes:
    """One chunk without a signature."""
    return b"%x\r\n%b\r\n" % (len(part), part)


def last(trailers: dict[str, str]) -> bytes:
    """The end of a body without signatures."""
    lines = "".join(f"{name}:{value}\r\n" for name, value in trailers.items())
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"


def _incomplete(why: str) -> WireRefusal:
    return WireRefusal("IncompleteBody", f"The request body is not as it was announced: {why}.")
