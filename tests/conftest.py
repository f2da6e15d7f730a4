"""Which tests may run beside which others, and where they keep their files.

Tests that hold something of the host go to one worker, one after another: servers with real
machines have one range of addresses in a suite, and the tests of the network another. All other
tests go by file, wherever there is time.

No test proves that a disk keeps what it was told to: the power is cut at moments that tests choose,
and a process that is killed takes nothing of what the kernel holds with it. So none has to wait
for a real disk, which a suite with thousands of commits does for minutes.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings

from support import places

# What an example costs depends on who else is on the machine; no test here measures time.
settings.register_profile("openami", deadline=None)
settings.load_profile("openami")

if places.has_room_in_memory():
    tempfile.tempdir = str(places.IN_MEMORY)  # for pytest's tmp_path, too

ROOT = Path(__file__).parents[1]
FOLDERS: Final = {"tests/boot": "host", "tests/contract": "host", "tests/crash": "host"}
"""Folder → group, for those that use the default networks of this host or look for its traces."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that keeps a group together, if the tests were asked to be grouped so."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByHolding(LoadScopeScheduling):
        _split_scope: Callable[[str], str] = staticmethod(scope)

    return ByHolding(config, log)


@cache
def scope(nodeid: str) -> str:
    """What a test is kept together with: its group, or its file."""
    file = nodeid.partition("::")[0]
    if "qemu_server" in _text(file):
        return "guests"
    return FOLDERS.get("/".join(file.split("/")[:2]), file)


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text()
