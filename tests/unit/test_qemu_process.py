"""Processes, consoles and the accelerator: what needs no virtual machine."""

import io
import logging
import os
import shutil
import signal
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from openami.compute.driver import MachineFailed
from openami.compute.qemu import accelerator, console, process
from openami.compute.qemu.accelerator import BOOT_SECTOR, Verdict
from openami.compute.qemu.process import Process
from openami.domain.ids import InstanceId

ME = os.getpid()


def test_a_process_is_known_again_from_its_file(tmp_path: Path) -> None:
    me = Process.of(ME)
    me.save(tmp_path / "pid")
    assert Process.load(tmp_path / "pid") == me
    pidfd = me.open()
    assert pidfd is not None
    os.close(pidfd)


@pytest.mark.parametrize("other", [{"started": 1}, {"boot_id": "another boot"}, {"pid": 2**22 + 1}])
def test_a_pid_with_another_start_or_another_boot_is_another_process(other: dict) -> None:
    assert replace(Process.of(ME), **other).open() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_file_that_makes_no_sense_names_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert Process.load(tmp_path / "pid") is None


def test_a_process_that_ended_but_was_not_waited_for_is_gone() -> None:
    child = os.posix_spawnp("true", ["true"], {"PATH": os.defpath})
    pidfd = os.pidfd_open(child)
    try:
        assert process.has_ended(pidfd, 10)
        assert Process.of(child).open() is None
        assert process.exit_status(pidfd) == "exited with code 0"
    finally:
        os.close(pidfd)


def test_how_a_process_was_killed_is_told_and_killing_it_again_is_fine() -> None:
    child = os.posix_spawnp("sleep", ["sleep", "60"], {"PATH": os.defpath})
    pidfd = os.pidfd_open(child)
    try:
        assert not process.has_ended(pidfd)
        process.kill(pidfd)
        assert process.has_ended(pidfd, 10)
        assert process.exit_status(pidfd) == f"killed by {signal.SIGKILL.name}"
        process.kill(pidfd)
    finally:
        os.close(pidfd)


def test_a_machines_process_is_found_by_its_arguments() -> None:
    name = "i-0feedfeedfeedfeed"
    argv = ["sleep", "60", f"guest={name},debug-threads=on"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["sh", "-c", "echo up; read _", *argv], **pipes) as child:
        # Popen comes back when exec has begun; the kernel shows the arguments a moment later.
        assert child.stdout is not None
        child.stdout.readline()
        found = list(process.named({InstanceId(name), InstanceId("i-1")}))
        child.kill()
    assert found == [(name, child.pid)]


def test_nothing_is_looked_for_when_nobody_is_missing() -> None:
    assert list(process.named(set())) == []


def test_the_console_gives_its_last_64_kib(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    assert console.last_output(path) == b""
    path.write_bytes(b"a" * 100_000 + b"the end")
    assert len(console.last_output(path)) == 64 * 1024
    assert console.last_output(path).endswith(b"the end")


def test_a_long_console_gives_space_back_but_keeps_its_last_mib(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    content = os.urandom(4 << 20)
    path.write_bytes(content)
    until = console.give_back_space(path, 0)
    assert path.stat().st_size == len(content)
    assert path.stat().st_blocks * 512 <= (1 << 20) + 64 * 1024
    assert path.read_bytes()[-(1 << 20) :] == content[-(1 << 20) :]
    assert console.give_back_space(path, until) == until


def test_a_short_console_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"x" * 1000)
    assert console.give_back_space(path, 0) == 0
    assert path.read_bytes() == b"x" * 1000


def a_png(width: int = 8, height: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def test_a_screen_becomes_a_jpeg() -> None:
    with Image.open(io.BytesIO(console.as_jpeg(a_png(640, 480)))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (640, 480))


def _claims_to_be(width: int, height: int) -> bytes:
    png = bytearray(a_png())
    struct.pack_into(">II", png, 16, width, height)
    return bytes(png)


@pytest.mark.parametrize(
    "hostile",
    [b"", b"P6 1 1 255 abc", b"\x89PNG\r\n\x1a\n", a_png()[:45], _claims_to_be(9000, 9000)],
)
def test_a_screen_that_is_no_picture_is_refused(hostile: bytes) -> None:
    with pytest.raises(MachineFailed):
        console.as_jpeg(hostile)


def test_the_probe_is_what_its_source_says(tmp_path: Path) -> None:
    if shutil.which("nasm") is None:
        pytest.skip("nasm is not installed: the probe's source cannot be assembled")
    source = Path(accelerator.__file__).with_name("kvm_probe.asm")
    out = tmp_path / "probe"
    subprocess.run(["nasm", "-f", "bin", "-o", out, source], check=True)
    assert out.read_bytes() == BOOT_SECTOR


def test_a_setting_decides_without_a_trial(tmp_path: Path) -> None:
    for wanted in ("kvm", "tcg"):
        assert accelerator.accelerator(wanted, tmp_path / "cache", 2_000_000) == wanted
    assert not (tmp_path / "cache").exists()


def test_a_host_is_tried_once_per_boot_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def trial(candidate: str, _uid: int) -> Verdict:
        tried.append(candidate)
        return Verdict(accelerator="tcg", because="the trial says so")

    version, boot = ["QEMU 7.2"], ["this boot"]
    monkeypatch.setattr(accelerator, "trial", trial)
    monkeypatch.setattr(accelerator, "KVM_DEVICE", tmp_path)
    monkeypatch.setattr(accelerator, "qemu_version", lambda: version[0])
    monkeypatch.setattr(process, "boot_id", lambda: boot[0])
    cache = tmp_path / "cache"
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert accelerator.accelerator("auto", cache, 2_000_000) == "tcg"
    assert tried == ["kvm"]
    assert "the trial says so" in caplog.text
    version[0] = "QEMU 8.0"
    accelerator.accelerator("auto", cache, 2_000_000)
    boot[0] = "another"
    accelerator.accelerator("auto", cache, 2_000_000)
    cache.write_text("nonsense")
    accelerator.accelerator("auto", cache, 2_000_000)
    assert tried == ["kvm"] * 4


def test_a_host_without_the_device_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "KVM_DEVICE", tmp_path / "none")
    monkeypatch.setattr(accelerator, "qemu_version", lambda: "QEMU")
    assert accelerator.accelerator("auto", tmp_path / "cache", 2_000_000) == "tcg"
    assert accelerator.kvm_groups() == ()


@pytest.mark.boot
def test_a_trial_boot_goes_through_on_tcg() -> None:
    assert accelerator.trial("tcg", 2_000_000).because == "a trial boot went through"


@pytest.mark.boot
def test_a_trial_on_what_is_no_accelerator_says_why() -> None:
    verdict = accelerator.trial("nonsense", 2_000_000)
    assert verdict.accelerator == "tcg"
    assert "nonsense" in verdict.because
