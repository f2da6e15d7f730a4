"""What cleaning up saves on disk: `openami store du` and `openami store gc` beside a server."""

from pathlib import Path

from support.server import Server


def stored_bytes(server: Server) -> int:
    return sum(
        file.stat().st_size
        for kind in ("c", "n")
        for file in (server.state_dir / "chunks" / kind).rglob("*")
        if file.is_file()
    )


def test_s54_what_deleting_an_image_frees_is_foretold_and_really_freed(
    record_server: Server, tmp_path: Path
) -> None:
    server = record_server
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
