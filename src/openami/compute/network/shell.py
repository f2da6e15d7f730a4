"""The two programs that know the kernel's network better than we want to: ip(8) and nft(8)."""

import json
import os
import subprocess
from typing import Any, Final, cast

from openami.compute.driver import MachineFailed

_TIMEOUT_S: Final = 30.0


def run(*argv: str, text: str = "") -> str:
    """What the program prints. Raises MachineFailed with what it said if it fails."""
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError as wrong:
        raise MachineFailed(f"the program {argv[0]!r} is not installed") from wrong
    except subprocess.TimeoutExpired as wrong:
        raise MachineFailed(f"{' '.join(argv)!r} took more than {_TIMEOUT_S:.0f} s") from wrong
    if done.returncode != 0:
        raise MachineFailed(f"{' '.join(argv)!r} failed: {done.stderr.strip()[:1000]}")
    return done.stdout


def ip_batch(*commands: str, force: bool = False) -> None:
    """Several ip commands for the price of one process. With `force`, past those that fail."""
    if force:
        try:
            run("ip", "-force", "-batch", "-", text="\n".join(commands) + "\n")
        except MachineFailed:
            return
    else:
        run("ip", "-batch", "-", text="\n".join(commands) + "\n")


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", json.loads(run("ip", "-json", *arguments) or "[]"))


def nft_json(*arguments: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(run("nft", "--json", *arguments) or "{}"))


def nft(script: str) -> None:
    """All of the script or nothing of it: nft -f is one transaction."""
    run("nft", "-f", "-", text=script)


def require_root() -> None:
    if os.geteuid() != 0:
        raise MachineFailed(
            "networks need root: namespaces, taps and firewall rules are the host's."
            " Run openami as root, or set compute_driver to 'record' to run without machines"
        )
