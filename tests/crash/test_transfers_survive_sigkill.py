"""The whole server under SIGKILL while disks and images go in and out, and some are cancelled.

CRASH_SEED repeats the choices of a run (not the host's scheduling); CRASH_KILLS says how often it
is killed.
"""

import os
import random  # noqa: TID251 (seeded: a failure names its seed)
import secrets
from pathlib import Path

import pytest

from support.crash_transfers import Transfers
from support.server import serving

KILLS = int(os.environ.get("CRASH_KILLS", "5"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_server_killed_at_any_moment_of_its_transfers_has_them_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={seed}")
    offered = tmp_path / "offered"
    offered.mkdir()
    with serving(tmp_path / "state", "record", import_directory=str(offered)) as server:
        transfers = Transfers(server=server, random=random.Random(seed), offered=offered)
        transfers.prepare()
        try:
            for _ in range(KILLS):
                transfers.kill_in_a_burst()
                server.start()
                transfers.check()
            transfers.check_contents(tmp_path)
        except BaseException:
            print("\n".join(transfers.told))
            print(server.log_text()[-8000:])
            raise
