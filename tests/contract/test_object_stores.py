"""What every object store promises: S3 by obstore, and the one in memory that tests use."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.app import RealClock, RealIds
from openami.objects.s3 import S3Objects
from openami.objects.store import (
    Endpoint,
    ObjectAbsent,
    ObjectChanged,
    ObjectStore,
    ObjectStoreError,
    stream,
)
from openami.objects.weed import EmbeddedS3
from support.objects import MemoryObjects, make_bucket
from support.waiting import until

BUCKET = "things"


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjects(buckets={BUCKET})
    seaweed: Endpoint = request.getfixturevalue("seaweed")
    return S3Objects(lambda: seaweed, RealClock())


def test_what_was_put_is_read(store: ObjectStore) -> None:
    content = os.urandom(9 << 20)  # two parts
    store.put(BUCKET, "a dir/ä+b", iter([content[:100], content[100:]]), tags={"A": "b c"})
    info = store.head(BUCKET, "a dir/ä+b")
    assert info.size_bytes == len(content)
    assert b"".join(stream(store, BUCKET, "a dir/ä+b", info)) == content
    assert store.read(BUCKET, "a dir/ä+b", info.etag, 5, 10) == content[5:15]


def test_an_object_that_was_replaced_is_not_read_as_the_first(store: ObjectStore) -> None:
    store.put(BUCKET, "k", [b"one"])
    first = store.head(BUCKET, "k")
    store.put(BUCKET, "k", [b"two"])
    with pytest.raises(ObjectChanged):
        store.read(BUCKET, "k", first.etag, 0, 3)


def test_what_is_not_there_is_absent(store: ObjectStore) -> None:
    for bucket, key in ((BUCKET, "never"), ("never", "k")):
        with pytest.raises(ObjectAbsent):
            store.head(bucket, key)
    with pytest.raises(ObjectAbsent):
        store.put("never", "k", [b"x"])
    store.delete(BUCKET, "never")


def test_a_key_that_no_object_can_have_is_absent(store: ObjectStore) -> None:
    for key in ("a//b", "a/../b"):
        with pytest.raises(ObjectAbsent):
            store.head(BUCKET, key)
        with pytest.raises(ObjectAbsent):
            store.read(BUCKET, key, '"etag"', 0, 1)


def test_a_put_that_fails_leaves_no_object(store: ObjectStore) -> None:
    def parts() -> Iterator[bytes]:
        yield bytes(9 << 20)
        raise KeyError("the source broke")

    with pytest.raises(KeyError):
        store.put(BUCKET, "broken", parts())
    with pytest.raises(ObjectAbsent):
        store.head(BUCKET, "broken")


def test_what_was_deleted_is_gone(store: ObjectStore) -> None:
    store.put(BUCKET, "gone", [b"x"])
    store.delete(BUCKET, "gone")
    with pytest.raises(ObjectAbsent):
        store.head(BUCKET, "gone")


def test_an_endpoint_that_does_not_answer_is_told() -> None:
    nobody = Endpoint(
        url="http://127.0.0.1:1", access_key_id="a", secret_access_key="b", region="us-east-1"
    )
    with pytest.raises(ObjectStoreError):
        S3Objects(lambda: nobody, RealClock()).head(BUCKET, "k")


_STARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from openami.app import RealClock, RealIds
from openami.objects.weed import EmbeddedS3
EmbeddedS3(Path(sys.argv[1]), RealClock(), RealIds()).endpoint()
print("up", flush=True)
time.sleep(600)
"""


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie, whose new parent has not waited for it, has."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_embedded_store_dies_with_a_server_that_is_killed_and_keeps_what_it_had(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_WAITS, str(tmp_path)], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"
        pid = int((tmp_path / "weed.pid").read_text())
        server.send_signal(signal.SIGKILL)
    until(lambda: is_gone(pid))
    again = EmbeddedS3(tmp_path, RealClock(), RealIds())
    make_bucket(again.endpoint(), BUCKET)
    store = S3Objects(again.endpoint, RealClock())
    store.put(BUCKET, "k", [b"kept"])
    again.close()
    later = EmbeddedS3(tmp_path, RealClock(), RealIds())
    assert S3Objects(later.endpoint, RealClock()).head(BUCKET, "k").size_bytes == 4
    later.close()
    with pytest.raises(ObjectStoreError):
        later.endpoint()
