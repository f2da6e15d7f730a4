"""Who keeps a request waiting asks a silent S3 once, for a short time, and not in crowds."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.app import RealClock, RealIds
from openami.objects.hurried import AT_ONCE, Hurried
from openami.objects.s3 import S3Objects
from openami.objects.store import Endpoint, ObjectInfo, ObjectStoreError
from openami.objects.weed import WAITERS_MAX, EmbeddedS3
from openami.wire.s3_client import Patience
from support.waiting import until

DEADLINE_S = 60.0


@pytest.fixture
def silent() -> Iterator[Endpoint]:
    """It takes every connection and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield Endpoint(
            url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            access_key_id="a",
            secret_access_key="b",
            region="us-east-1",
        )


def test_a_silent_store_is_left_after_one_short_try(silent: Endpoint) -> None:
    short = Patience(request_s=0.2, retries=0, retry_for_s=0.2)
    store = S3Objects(lambda: silent, RealClock(), hurry=short)
    with pytest.raises(ObjectStoreError):
        store.hurried().head("things", "k")
    with pytest.raises(ObjectStoreError):
        store.hurried().read("things", "k", '"1"', 0, 10)


class Stuck:
    """A store that answers when it is told."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Semaphore(0), threading.Event()

    def head(self, bucket: str, key: str) -> ObjectInfo:
        self.asked.release()
        self.go_on.wait(DEADLINE_S)
        return ObjectInfo(size_bytes=1, etag=f"{bucket}/{key}")

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        return self.head(bucket, key).etag.encode()


def test_when_some_wait_already_the_next_is_told_at_once_that_the_store_is_busy() -> None:
    stuck = Stuck()
    hurried = Hurried(stuck)
    waiting = [threading.Thread(target=hurried.head, args=("b", "k")) for _ in range(AT_ONCE)]
    for thread in waiting:
        thread.start()
    assert all(stuck.asked.acquire(timeout=DEADLINE_S) for _ in waiting)
    for refused in (lambda: hurried.head("b", "k"), lambda: hurried.read("b", "k", "e", 0, 1)):
        with pytest.raises(ObjectStoreError, match="wait"):
            refused()
    stuck.go_on.set()
    for thread in waiting:
        thread.join(DEADLINE_S)
    assert hurried.head("b", "k").etag == "b/k"
    assert hurried.read("b", "k", "e", 0, 1) == b"b/k"


class SlowToStart(EmbeddedS3):
    """It starts when it is told, and then is nothing but an address."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, RealClock(), RealIds())
        self.go_on = threading.Event()

    def _started(self) -> Endpoint:
        self.go_on.wait(DEADLINE_S)
        return Endpoint(url="http://127.0.0.1:1", access_key_id="", secret_access_key="", region="")


def test_only_some_wait_for_an_embedded_store_that_does_not_come_up(tmp_path: Path) -> None:
    store, refused = SlowToStart(tmp_path), list[str]()

    def ask() -> None:
        try:
            store.endpoint()
        except ObjectStoreError as failure:
            refused.append(str(failure))

    waiting = [threading.Thread(target=ask) for _ in range(WAITERS_MAX + 1)]
    for thread in waiting:
        thread.start()
    until(lambda: refused != [])
    store.go_on.set()
    for thread in waiting:
        thread.join(DEADLINE_S)
    assert len(refused) == 1
    assert "wait" in refused[0]
