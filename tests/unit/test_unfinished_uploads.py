"""Uploads in parts that never ended, as an S3 store tells of them page by page."""

from collections.abc import Generator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest

from openami.objects import uploads
from openami.objects.store import Endpoint, ObjectStoreError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = "exports/a disk.raw"


class Store(ThreadingHTTPServer):
    """Tells of one upload at a time; with `is_stuck`, of the first one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.held = [(KEY, "1"), (KEY, "2"), (f"{KEY}.other", "3"), (f"{KEY}.other", "4")]
        self.listed = list(self.held)
        self.is_stuck = False
        self.names_keys = True

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(
            url=f"http://127.0.0.1:{self.server_port}",
            access_key_id="a",
            secret_access_key="b",
            region="us-east-1",
        )


class Handler(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        assert asked["prefix"] == [KEY]
        after = asked.get("upload-id-marker", ["0"])[0]
        assert ("key-marker" in asked) == (after != "0" and self.server.names_keys)
        left = [each for each in self.server.listed if each[1] > after]
        key, upload_id = self.server.listed[0] if self.server.is_stuck else left[0]
        is_last = len(left) == 1 and not self.server.is_stuck
        key = escape(key)
        next_key = f"<NextKeyMarker>{key}</NextKeyMarker>" if self.server.names_keys else ""
        self.answer(
            200,
            f"""<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Upload><Key>{key}</Key><UploadId>{upload_id}</UploadId></Upload>
            {next_key}
            <NextUploadIdMarker>{upload_id}</NextUploadIdMarker>
            <IsTruncated>{str(not is_last).lower()}</IsTruncated>
            </ListMultipartUploadsResult>""",
        )

    def do_DELETE(self) -> None:
        (upload_id,) = parse_qs(urlsplit(self.path).query)["uploadId"]
        self.server.held = [each for each in self.server.held if each[1] != upload_id]
        self.answer(204, "")

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def store() -> Generator[Store]:
    with Store() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("names_keys", [True, False])
def test_uploads_are_abandoned_on_every_page_of_their_list(store: Store, names_keys: bool) -> None:
    store.names_keys = names_keys
    uploads.abandon(store.endpoint, NOW, "disks", KEY)
    assert store.held == [(f"{KEY}.other", "3"), (f"{KEY}.other", "4")]


def test_a_list_that_goes_nowhere_is_not_asked_for_for_ever(store: Store) -> None:
    store.is_stuck = True
    with pytest.raises(ObjectStoreError, match="where it goes on"):
        uploads.abandon(store.endpoint, NOW, "disks", KEY)
