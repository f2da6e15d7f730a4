"""Forms: query strings and bodies of name=value pairs, decoded once and strictly.

The signature is computed over these same decoded pairs, so no one can sign one thing
and have another read.
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from openami.wire.refusal import WireRefusal

Form = dict[str, str]

# An image with every parameter that EC2 has stays far below this.
PARAMETERS_MAX: Final = 20_000


def pairs(text: str) -> list[tuple[bytes, bytes]]:
    """The name=value pairs of a query string or a body, percent-decoded, in their order.

    Raises WireRefusal (MalformedQueryString) when there are too many.
    """
    if not text:
        return []
    parts = [part for part in text.split("&") if part]
    if len(parts) > PARAMETERS_MAX:
        raise _malformed(f"The request has more than {PARAMETERS_MAX} parameters")
    return [
        (_decoded(name), _decoded(value)) for name, _, value in (p.partition("=") for p in parts)
    ]


def decode(query: str, body: bytes) -> Form:
    """The parameters of a request: those of its query string and those of its body.

    Raises WireRefusal (MalformedQueryString) for text that is not UTF-8 and for a
    parameter that is given twice: which of the two is meant, no one can know.
    """
    form: Form = {}
    try:
        for name, value in [*pairs(query), *pairs(body.decode("ascii"))]:
            key = name.decode()
            if key in form:
                raise _malformed(f"The parameter {key} is given more than once")
            form[key] = value.decode()
    except UnicodeDecodeError as bad:
        raise _malformed("The query string is not valid UTF-8") from bad
    return form


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " "))


def _malformed(message: str) -> WireRefusal:
    return WireRefusal("MalformedQueryString", message)
