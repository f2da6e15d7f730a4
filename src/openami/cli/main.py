"""The openami command: finds the verb, its settings, and turns failures into one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from openami import __version__, settings
from openami.blockstore.store import StoreAway
from openami.cli.failed import CommandFailed
from openami.settings import Settings, SettingsError

VERBS: Final = {
    "init": "make the state directory, a first account and its access key",
    "serve": "answer EC2 and STS on one port",
    "account": "create and list accounts, make and revoke keys",
    "org": "declare organizations and units of accounts",
    "image": "build a disk image, import a disk file as an AMI",
    "store": "verify the stored bytes, tell whose they are, free those that nobody needs, export",
    "doctor": "compare what the catalog says with what is on this host; 1 if they differ",
    "block-daemon": "serve machines' disks while they are brought to this host ('serve' starts it)",
}
"""Each is a module of this package, which is loaded when the verb is asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; 0 if it did what was asked, 1 if it could not, 2 for a wrong command line."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser(words).parse_args(words)
    try:
        return arguments.run(_settings(arguments), arguments)
    except (CommandFailed, SettingsError, StoreAway) as failed:
        print(f"openami: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("openami: interrupted", file=sys.stderr)
        return 130


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openami",
        description="A self-hosted, EC2-compatible machine-image service that really boots"
        " what it stores.",
        epilog="Settings: defaults, then STATE_DIR/openami.toml, then OPENAMI_* variables;"
        " see docs/settings.md.",
    )
    parser.add_argument("--version", action="version", version=f"openami {__version__}")
    parser.add_argument(
        "--state-dir",
        type=Path,
        help="where everything is kept (default: $OPENAMI_STATE_DIR or /var/lib/openami)",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb, what in VERBS.items():
        its_parser = verbs.add_parser(verb, help=what)
        if verb in words:
            import_module(f"openami.cli.{verb.replace('-', '_')}").add_to(its_parser)
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    environment = dict(os.environ)
    if arguments.state_dir is not None:
        environment["OPENAMI_STATE_DIR"] = str(arguments.state_dir.absolute())
    state_dir = settings.load(None, environment).state_dir
    return settings.load(state_dir / "openami.toml", environment)


if __name__ == "__main__":
    sys.exit(main())
