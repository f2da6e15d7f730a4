"""The composition root, in a process of its own as `openami serve` makes it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

SERVE_A_MOMENT = """
import os, sys
from pathlib import Path
from openami.app import App
from openami.settings import Settings

os.umask(0o022)
app = App(Settings(state_dir=Path(sys.argv[1]), compute_driver="record"))
app.start()
app.close()
"""

A_BAD_ROW = """
from openami.workflows import registry

def cannot(svc):
    raise ValueError("a row that cannot be dealt with")

seen = []
registry._RESUMES = (cannot, seen.append)
"""

MANY_SNAPSHOTS_WAIT = """
import os, sys, threading
from pathlib import Path
from openami.app import App
from openami.domain.ids import SnapshotId
from openami.settings import Settings
from openami.workflows import create_snapshot, delete_volume, scratch
from support.builders import a_snapshot

scratch.take = lambda *_args: threading.Event().wait()
app = App(Settings(state_dir=Path(sys.argv[1]), compute_driver="record"))
app.start()
for n in range(120):
    create_snapshot.start(app.services, a_snapshot(id=SnapshotId(f"snap-{n:017x}")))
other = delete_volume.start(app.services, "vol-00000000000000001")
has_ended = app.services.jobs.wait(other, 30)
os._exit(0 if has_ended else 3)  # as kill -9: the others wait still
"""


def test_no_file_of_the_state_directory_can_be_read_by_others_of_the_host(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # as whoever made it beforehand left it
    subprocess.run([sys.executable, "-c", SERVE_A_MOMENT, tmp_path], check=True, timeout=60)
    files = [Path(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
    assert tmp_path / "jobs.sqlite" in files
    assert [file.name for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077] == []


def test_a_row_that_cannot_be_dealt_with_keeps_nothing_else_from_going_on(tmp_path: Path) -> None:
    script = A_BAD_ROW + SERVE_A_MOMENT + "assert seen == [app.services]"
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path], check=True, timeout=60, stderr=subprocess.PIPE
    )
    assert b"a row that cannot be dealt with" in run.stderr


def test_snapshots_that_wait_for_one_machine_keep_no_other_work_from_going_on(
    tmp_path: Path,
) -> None:
    script = [sys.executable, "-c", MANY_SNAPSHOTS_WAIT, tmp_path]
    tests = Path(__file__).parents[1]
    subprocess.run(script, check=True, timeout=120, env={**os.environ, "PYTHONPATH": str(tests)})
