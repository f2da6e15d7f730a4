"""`python -m bench [P8 P10 …]`: measure the named lines of PERFORMANCE, or all there are.

A line is a module `bench/pNN.py` with `bench(scratch, rounds) -> list[Line]`.
"""

import argparse
import importlib
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from bench import peers, table
from bench.measure import Line

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"


def known() -> dict[str, str]:
    return {
        f"P{int(path.stem[1:])}": f"bench.{path.stem}"
        for path in sorted(HERE.glob("p*.py"))
        if re.fullmatch(r"p\d\d", path.stem)
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="P", help=f"of {', '.join(known())}")
    parser.add_argument(
        "--rounds", type=int, default=5, help="%(default)s; 9 for a claim, 3 to see that all work"
    )
    parser.add_argument("--scratch", type=Path, default=BUILD / "bench")
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json")
    given = parser.parse_args()
    ids = [name.upper() for name in given.ids] or list(known())
    unknown = [name for name in ids if name not in known()]
    if unknown:
        parser.error(f"no such line: {', '.join(unknown)}")
    scratch: Path = given.scratch.absolute()
    lines: list[Line] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as Ctrl-C does: clean up
    took_s: dict[str, float] = {}
    failed: list[str] = []
    try:
        for name in ids:
            began = time.monotonic()
            try:
                lines += _measured(name, scratch, given.rounds)
            except Exception:  # noqa: BLE001, whatever it is, it costs the other lines nothing
                traceback.print_exc()
                failed.append(name)
            took_s[name] = time.monotonic() - began
    finally:  # what was measured is told, also when the rest is broken off
        table.write(lines, peers.versions(), given.json)
        told = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took_s.items())
        if failed:
            print(f"FAILED: {', '.join(failed)}")
        print(f"took {sum(took_s.values()) / 60:.1f} minutes: {told}")
    return 1 if failed or any(line.verdict == "MISSED" for line in lines) else 0


def _measured(name: str, scratch: Path, rounds: int) -> list[Line]:
    module = importlib.import_module(known()[name])
    print(module.__doc__, flush=True)
    try:
        return module.bench(scratch, rounds)
    finally:
        shutil.rmtree(scratch / f"p{int(name[1:]):02}", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
