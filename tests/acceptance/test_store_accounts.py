"""What cleaning up saves on disk: `openami store du` and `openami store gc` beside a server.

A server of its own: a collection waits for all that is being written to a store.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

from support.server import Server, serving


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    with serving(tmp_path / "state", "record") as server:
        yield server


def stored_bytes(server: Server) -> int:
    return sum(
        file.stat().st_size
        for kind in ("c", "n")
        for file in (server.state_dir / "chunks" / kind).rglob("*")
        if file.is_file()
    )


def test_s54_what_deleting_an_image_frees_is_foretold_and_really_freed(
    server: Server, tmp_path: Path
) -> None:
    server.account("du")
    disk = tmp_path / "disk.raw"
    for name in ("first", "second"):
        content = f"{name} ".encode() * 100_000 + bytes(1 << 20) + b"shared" * 400_000
        disk.write_bytes(content.ljust(4 << 20, b"\0"))
        server.openami("image", "import", str(disk), "--name", f"du-{name}", "--account", "du")
    ec2 = server.client("ec2", "du")
    found = {
        image["Name"]: image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]
    }
    told = server.openami("store", "du", found["du-first"]).stdout
    assert f"{found['du-first']} " in told
    foretold = int(told.splitlines()[-1].split()[-2])
    assert foretold > 0
    server.openami("store", "gc")
    before = stored_bytes(server)
    ec2.deregister_image(ImageId=found["du-first"], DeleteAssociatedSnapshots=True)
    freed = server.openami("store", "gc").stdout
    assert f"({foretold} bytes) are gone" in freed
    assert before - stored_bytes(server) == foretold
    ec2.deregister_image(ImageId=found["du-second"], DeleteAssociatedSnapshots=True)
