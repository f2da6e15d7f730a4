"""How often one instance may ask: a burst is free, then each request waits for its turn.

EC2 lets 1024 packets a second through to an instance's metadata, and a request with its
connection takes about eight. What is over waits instead of being lost.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from typing import Final

REQUESTS_PER_S: Final = 128
BURST: Final = 256
NEVER: Final = float("-inf")  # `free_at_s` of an instance that has not asked yet


def reserve(free_at_s: float, now_s: float) -> tuple[float, float]:
    """Take a turn: when the next one is free, and the seconds to wait for this one.

    Both times are of one monotonic clock. A turn that is not used is not given back.
    """
    turn = max(free_at_s, now_s - (BURST - 1) / REQUESTS_PER_S)
    return turn + 1 / REQUESTS_PER_S, max(turn - now_s, 0.0)
