"""How often one instance may ask for its metadata."""

from hypothesis import given
from hypothesis import strategies as st

from openami.imds.rate import BURST, NEVER, REQUESTS_PER_S, reserve

CLOUD_INIT_REQUESTS = 47  # of Debian 12's cloud-init 22.4 at its first boot, as measured
PER_REQUEST = 2  # one for the request, one for the end of its connection


def waits(moments: list[float]) -> list[float]:
    found, free_at = [], NEVER
    for now in moments:
        free_at, wait = reserve(free_at, now)
        found.append(wait)
    return found


def test_a_boot_is_never_slowed_not_even_two_in_a_row() -> None:
    assert not any(waits([1000.0] * CLOUD_INIT_REQUESTS * PER_REQUEST * 2))


def test_a_burst_is_free_and_what_follows_waits_for_its_turn() -> None:
    found = waits([0.0] * (BURST + 3))
    assert not any(found[:BURST])
    assert found[BURST:] == [n / REQUESTS_PER_S for n in (1, 2, 3)]


def test_who_asks_no_more_than_the_rate_never_waits() -> None:
    assert not any(waits([n / REQUESTS_PER_S for n in range(2000)]))


def test_a_burst_is_earned_again_by_rest() -> None:
    rest = BURST / REQUESTS_PER_S
    assert not any(waits([0.0] * BURST + [rest] * BURST))
    assert waits([0.0] * BURST + [rest] * (BURST + 1))[-1] > 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=1500))
def test_no_second_has_more_than_the_burst_and_the_rate(gaps: list[float]) -> None:
    moments = sorted(gaps)
    turns = [now + wait for now, wait in zip(moments, waits(moments), strict=True)]
    for begin in (0, len(turns) // 2):
        took = turns[-1] - turns[begin]
        assert len(turns) - begin <= BURST + 1 + REQUESTS_PER_S * took + 1e-6
