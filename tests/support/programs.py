"""Clients that are programs of their own, each installed apart from openami's own packages.

A client's packages would quarrel with ours (each wants its botocore), so each gets a directory
under .cache/clients, named after what is in it: another version is another directory.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".cache" / "clients"
INSTALL_DEADLINE_S = 600


@cache
def python_programs(name: str, *requirements: str) -> Path:
    """Where the programs are that these packages of PyPI bring; skips if they cannot be had."""
    directory = _place(name, requirements)
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        python = directory / "bin" / "python"
        _install(name, _uv(), "venv", "-q", "--python", sys.executable, str(directory))
        _install(name, _uv(), "pip", "install", "-q", "--python", str(python), *requirements)
        (directory / "complete").touch()
    return directory / "bin"


@cache
def node_modules(name: str, *packages: str) -> Path:
    """A directory whose node_modules holds these packages of npm; skips if they cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("the Debian package npm is not installed")
    directory = _place(name, packages)
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        npm = ("npm", "install", "--silent", "--engine-strict", "--prefix", str(directory))
        _install(name, *npm, *packages)
        (directory / "complete").touch()
    return directory


def run(command: list[str | Path], *, env: dict[str, str], where: Path) -> str:
    """What the client printed. Raises AssertionError with all of it when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env | {"HOME": str(where), "LANG": "C.UTF-8"},
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _place(name: str, wanted: tuple[str, ...]) -> Path:
    mark = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    return CLIENTS / f"{name}-{mark}"


def _uv() -> str:
    """As scripts/setup finds it, or where scripts/setup puts it."""
    return shutil.which("uv") or str(ROOT / ".cache" / "uv" / "bin" / "uv")


def _install(name: str, *command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S
        )
    except (subprocess.SubprocessError, OSError) as cannot:
        pytest.skip(f"{name} cannot be had here: {cannot}")
