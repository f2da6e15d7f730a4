"""One wrong request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bad:
    """`why` is the sentence that names the test.

    Texts in `request` like "{image}" stand for resources of the test's world. `code` is EC2's;
    where its pages leave two open, both are named with a bar between. `form` is added to what
    boto3 would send, for what boto3 cannot say.
    """

    why: str
    operation: str
    request: Mapping[str, Any]
    code: str
    form: Mapping[str, str] | None = None
