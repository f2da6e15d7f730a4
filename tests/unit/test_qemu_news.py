"""News of machines: in order for each, and no machine keeps another's waiting."""

import threading
from collections.abc import Iterator

import pytest

from openami.compute.qemu.news import News
from openami.domain.ids import InstanceId
from support.waiting import until

ONE, OTHER = InstanceId("i-0123456789abcdef0"), InstanceId("i-0123456789abcdef1")


def _wait_for(event: threading.Event) -> None:
    event.wait(10)


@pytest.fixture
def news() -> Iterator[News]:
    news = News("news", threads=2)
    yield news
    news.close()


def test_the_news_of_one_machine_come_in_order(news: News) -> None:
    heard: list[int] = []
    for number in range(200):
        news.add(ONE, lambda number=number: heard.append(number))
    until(lambda: len(heard) == 200)
    assert heard == list(range(200))


def test_a_machine_whose_news_takes_long_keeps_no_other_waiting(news: News) -> None:
    release, heard, later = threading.Event(), threading.Event(), threading.Event()
    news.add(ONE, lambda: _wait_for(release))
    for _ in range(5):
        news.add(ONE, later.set)
    news.add(OTHER, heard.set)
    assert heard.wait(10)
    assert not later.is_set()
    release.set()
    assert later.wait(10)


def test_a_guest_that_resets_without_end_is_heard_once_more_and_not_each_time(news: News) -> None:
    release, ended, resets = threading.Event(), threading.Event(), list[int]()
    news.add(ONE, lambda: _wait_for(release))
    for number in range(1000):
        news.add(ONE, lambda number=number: resets.append(number), once="reset")
    news.add(ONE, ended.set)
    release.set()
    assert ended.wait(10)
    assert len(resets) == 1


def test_a_failure_is_logged_and_the_next_news_comes(
    news: News, caplog: pytest.LogCaptureFixture
) -> None:
    heard = threading.Event()

    def fails() -> None:
        raise RuntimeError("the catalog is on fire")

    news.add(ONE, fails)
    news.add(ONE, heard.set)
    assert heard.wait(10)
    until(lambda: "the catalog is on fire" in caplog.text)


def test_closed_it_ends_what_it_does_and_begins_nothing(news: News) -> None:
    begun, release, never = threading.Event(), threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        release.wait(10)

    news.add(ONE, long)
    news.add(ONE, never.set)
    assert begun.wait(10)
    threading.Timer(0.05, release.set).start()
    news.close()
    news.add(OTHER, never.set)
    assert release.is_set()
    assert not never.is_set()
