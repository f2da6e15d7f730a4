"""Which tests may run beside which others, in which order, and where they keep their files.

Tests that hold something of the host go to one worker, one after another: servers with real
machines have one range of addresses in a suite, and the tests of the network another. So do those
that look at a world, which takes long to make. All other tests go by file, wherever there is time.

No test proves that a disk keeps what it was told to: the power is cut at moments that tests choose,
and a process that is killed takes nothing of what the kernel holds with it. So none has to wait
for a real disk, which a suite with thousands of commits does for minutes.
"""

import tempfile
from collections import Counter
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
FIXTURES: Final = {"qemu_server": "guests", ": World": "world"}
"""What stands in a file that uses a fixture which the suite has once for each worker → group."""
FIRST: Final = (
    "host",
    "world",
    "tests/workflows/test_lifecycle_runs_survive.py",
    "tests/acceptance/test_terraform.py",
    "tests/property/test_rules_of_images.py",
    "tests/workflows/test_copies_survive.py",
    "tests/acceptance/test_ansible.py",
    "tests/acceptance/test_throttling.py",
    "tests/acceptance/test_awspub.py",
    "tests/acceptance/test_chunks_in_s3.py",
    "tests/acceptance/test_lifecycle_policies.py",
    "tests/property/test_collection.py",
    "guests",
)
"""What takes long for how few tests it has: if it came last, the other workers would wait for it.

The guests come after others of these, since those of the host have the machine's guests before.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sizes = Counter(scope(item.nodeid) for item in items)
    ranks = {each: rank for rank, each in enumerate(FIRST)}

    def place(item: pytest.Item) -> tuple[int, int, str]:
        its = scope(item.nodeid)
        return ranks.get(its, len(FIRST)), -sizes[its], its

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that keeps a group together, if the tests were asked to be grouped so."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # as pytest_collection_modifyitems has them

    class ByHolding(LoadScopeScheduling):
        _split_scope: Callable[[str], str] = staticmethod(scope)

    return ByHolding(config, log)


@cache
def scope(nodeid: str) -> str:
    """What a test is kept together with: its group, or its file."""
    file = nodeid.partition("::")[0]
    folder = "/".join(file.split("/")[:2])
    if folder in FOLDERS:
        return FOLDERS[folder]
    return next((group for text, group in FIXTURES.items() if text in _text(file)), file)


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text()
