"""What keeps a machine from its disks is told until it has run without an error for a while."""

from pathlib import Path

import pytest

from openami.compute.qemu import stalls
from openami.compute.qemu.stalls import Stalls
from openami.domain.ids import VolumeId


def told(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_each_disk_is_told_with_its_last_error_until_the_machine_runs_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "stalled"
    found = Stalls(file)
    found.begin(is_paused=False)
    assert (bool(found), found.volumes, told(file)) == (False, set(), [])
    found.met("top-vol0a", "No space left on device")
    found.met("top-vol0b", "Input/output error\n" * 100)
    found.met("top-vol0a", "Input/output error")
    assert found.volumes == {"vol-0a", "vol-0b"}
    assert told(file)[0] == "vol-0a Input/output error"
    assert len(told(file)) == 2
    found.tend(is_paused=False)
    assert found, "it was resumed a moment ago, and may meet the error again"
    monkeypatch.setattr(stalls, "QUIET_S", 0.0)
    found.met("top-vol0a", "Input/output error")
    found.tend(is_paused=True)
    assert found
    found.tend(is_paused=False)
    assert (bool(found), found.volumes, told(file)) == (False, set(), [])


def test_a_machine_that_is_found_paused_is_stalled_and_its_next_error_tells_by_what(
    tmp_path: Path,
) -> None:
    file = tmp_path / "stalled"
    file.write_text("of another server\n")
    found = Stalls(file)
    found.begin(is_paused=True)
    assert (bool(found), found.volumes, told(file)) == (True, set(), ["found paused"])
    found.met("top-vol0a", "Input/output error")
    assert (found.volumes, told(file)) == ({"vol-0a"}, ["vol-0a Input/output error"])
    Stalls(file).begin(is_paused=False)
    assert told(file) == []


def test_another_node_s_error_names_no_volume(tmp_path: Path) -> None:
    found = Stalls(tmp_path / "nowhere" / "stalled")
    found.met("top-ephemeral0", "Input/output error")
    assert (bool(found), found.volumes) == (True, set())


def test_a_disk_that_was_taken_out_is_told_no_more(tmp_path: Path) -> None:
    file = tmp_path / "stalled"
    found = Stalls(file)
    found.met("top-vol0a", "Input/output error")
    found.met("top-vol0b", "No space left on device")
    found.forget(VolumeId("vol-0a"))
    assert (found.volumes, told(file)) == ({"vol-0b"}, ["vol-0b No space left on device"])
    found.forget(VolumeId("vol-0b"))
    assert (bool(found), told(file)) == (False, [])
