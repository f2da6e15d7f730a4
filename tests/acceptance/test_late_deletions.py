"""A bucket's deletion that is slow to reach the store, and what others may do meanwhile."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.api import refusal
from support.server import serving
from support.waiting import DEADLINE_S

NAME = "late"


class SlowStore(ThreadingHTTPServer):
    """Buckets and nothing else; a deletion is done when `go_on` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.names, self.reached, self.go_on = set[str](), threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: SlowStore

    def do_HEAD(self) -> None:
        self._answer(200 if self.path[1:] in self.server.names else 404)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.names.add(self.path[1:])
        self._answer(200)

    def do_DELETE(self) -> None:
        self.server.reached.set()
        self.server.go_on.wait(DEADLINE_S)
        self.server.names.discard(self.path[1:])
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def store() -> Generator[SlowStore]:
    with SlowStore() as made:
        serves = threading.Thread(target=made.serve_forever)
        serves.start()
        yield made
        made.go_on.set()
        made.shutdown()
        serves.join()


def test_a_bucket_is_made_after_an_earlier_one_of_its_name_is_deleted_not_meanwhile(
    tmp_path: Path, store: SlowStore
) -> None:
    keys = {"s3_access_key_id": "a", "s3_secret_access_key": "b"}
    with serving(tmp_path / "state", "record", s3_endpoint=store.url, **keys) as server:
        mine, theirs = server.client("s3"), server.client("s3", account="other")
        mine.create_bucket(Bucket=NAME)
        with ThreadPoolExecutor(max_workers=2) as pool:
            deletion = pool.submit(mine.delete_bucket, Bucket=NAME)
            assert store.reached.wait(DEADLINE_S)
            assert refusal(mine.delete_bucket, Bucket=NAME) == "OperationAborted"
            creation = pool.submit(theirs.create_bucket, Bucket=NAME)
            store.go_on.set()
            deletion.result(DEADLINE_S)
            creation.result(DEADLINE_S)
        assert store.names == {NAME}
        assert [each["Name"] for each in theirs.list_buckets()["Buckets"]] == [NAME]
