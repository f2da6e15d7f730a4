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
