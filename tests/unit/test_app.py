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

STORES_HANG = """
import os, sys, threading, time
from pathlib import Path
from openami import app
from openami.settings import Settings
from openami.workflows import registry, tenure

sweeps, looked_at = [], set()

def hangs(_svc, region):
    looked_at.add(region)
    threading.Event().wait()

app.SWEEP_EVERY_S, app.ENDING_S = 0.01, 0.1
registry._RESUMES = (sweeps.append,)
tenure.require = hangs
settings = Settings(
    state_dir=Path(sys.argv[1]), compute_driver="record", regions=("us-east-1", "eu-west-1")
)
served = app.App(settings)
served.start()
deadline = time.monotonic() + 30
while (len(sweeps) < 3 or len(looked_at) < 2) and time.monotonic() < deadline:
    threading.Event().wait(0.01)
served.close()
os._exit(0 if len(sweeps) >= 3 and looked_at == set(settings.regions) else 3)
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


def test_a_store_that_hangs_keeps_neither_the_sweep_nor_other_stores_nor_the_end_waiting(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-c", STORES_HANG, tmp_path], check=True, timeout=60)
