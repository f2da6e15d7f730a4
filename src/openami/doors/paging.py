"""Pages of a listing, and the opaque tokens that lead from one to the next.

A token says where the last page ended and nothing of the server's state, so it is good after
a restart and after changes between two pages.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from openami.domain.errors import InvalidParameterValue
from openami.domain.filter import Page


def token_after(place: str) -> str:
    """The NextToken of a page that ends at `place`: the sort key of its last entry."""
    return base64.urlsafe_b64encode(b"1:" + place.encode()).decode()


def place_of(token: str) -> str | None:
    """Where the page before ended; None for a token that we did not make."""
    try:
        version, _, place = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except (ValueError, binascii.Error):
        return None
    return place if version == "1" and place else None


def page(request: Mapping[str, Any], *, default: int | None = None) -> Page:
    """MaxResults and NextToken. Raises InvalidParameterValue for a token that we did not make."""
    token = request.get("NextToken")
    place = None if token is None else place_of(token)
    if token is not None and place is None:
        raise InvalidParameterValue(f"The token '{token}' is invalid")
    return Page(limit=request.get("MaxResults", default), after=place)


def paged(
    found: Sequence[Any], asked: Page, place: str = "id"
) -> tuple[Sequence[Any], dict[str, str]]:
    """The entries of one page and the NextToken member, from a listing made with `one_more(asked)`.

    `place` is the attribute by which the listing is ordered.
    """
    if asked.limit is None or len(found) <= asked.limit:
        return found, {}
    shown = found[: asked.limit]
    return shown, {"NextToken": token_after(str(getattr(shown[-1], place)))}


def one_more(asked: Page) -> Page:
    """The page with one entry more, by which one sees that there are more."""
    return Page(limit=None if asked.limit is None else asked.limit + 1, after=asked.after)
