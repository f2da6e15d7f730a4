"""How tests wait: for a condition, with a deadline that only a failure reaches."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0  # many times what anything takes that is waited for without another one


def until(
    condition: Callable[[], T],
    deadline_s: float = DEADLINE_S,
    what: str = "it came to be",
    every_s: float = 0.02,
) -> T:
    """The first true answer of `condition`, polled; an AssertionError that names `what` if none."""
    deadline = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(every_s)
    return found
