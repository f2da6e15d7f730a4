"""`python -m openami.nbd`: the block daemon without the rest of openami, as a server starts it.

It says what it was told on its command line, for `nbd/process.py` to know it again. Its log goes
to a file that does not grow without end; what Python itself says goes where stderr goes.
"""

import argparse
import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Final

from openami.domain.ids import Region
from openami.nbd import process
from openami.nbd.daemon import AnotherServes, opened, run
from openami.settings import Settings

_LOG_BYTES_MAX: Final = 4 * 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m openami.nbd")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--hydrate-mib-per-s", type=float, required=True)
    parser.add_argument("--store", action="append", default=[], metavar="REGION=DIRECTORY")
    arguments = parser.parse_args()
    settings = Settings(
        state_dir=arguments.state_dir, hydrate_mib_per_s=arguments.hydrate_mib_per_s
    )
    pairs = [str(each).partition("=") for each in arguments.store]
    places = {Region(region): Path(place) for region, _, place in pairs}
    os.umask(0o077)
    host = process.host_of(settings)
    host.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[
            logging.handlers.RotatingFileHandler(
                host.directory / process.LOG, maxBytes=_LOG_BYTES_MAX, backupCount=1
            )
        ],
    )
    mark = process.mark_of(settings, places)
    try:
        run(host, opened(places), lambda: process.note(host.directory, mark), lambda: None)
    except AnotherServes as refused:
        logging.getLogger(__name__).info("%s", refused)
        return 1
    logging.shutdown()
    # Not a return: a fetch out of a store that does not answer may still be under way.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
