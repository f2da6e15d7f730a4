"""`python -m bench [P8 P10 …]`: measure the named lines of PERFORMANCE, or all there are.

A line is a module `bench/pNN.py` with `bench(scratch, rounds) -> list[Line]`.
"""

import argparse
import importlib
import re
import shutil
import signal
import sys
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
    parser.add_argument("--rounds", type=int, default=5, help="5; 9 for a claim")
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
    for name in ids:
        print(importlib.import_module(known()[name]).__doc__, flush=True)
        try:
            lines += importlib.import_module(known()[name]).bench(scratch, given.rounds)
        finally:
            shutil.rmtree(scratch / f"p{int(name[1:]):02}", ignore_errors=True)
    table.write(lines, peers.versions(), given.json)
    return 1 if any(line.verdict == "MISSED" for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
