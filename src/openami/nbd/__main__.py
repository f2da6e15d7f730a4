"""`python -m openami.nbd`: the block daemon without the rest of openami, as a server starts it.

What it is to serve it reads from its standard input. Its log goes to a file that does not grow
without end; what Python itself says goes where stderr goes.
"""

import logging
import logging.handlers
import os
import sys
from typing import Final

from openami.nbd import process
from openami.nbd.daemon import AnotherServes, opened, run

_LOG_BYTES_MAX: Final = 4 * 1024 * 1024


def main() -> int:
    settings, places = process.understood(sys.stdin.read())
    mark = process.mark_of(settings, places)
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
