"""The openami command: finds the verb, its settings, and turns failures into one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from openami import __version__, settings
from openami.blockstore.store import StoreAway
from openami.cli import account, block_daemon, doctor, image, init, org, serve, store
from openami.cli.command import CommandFailed
from openami.settings import Settings, SettingsError

VERBS = (init, serve, account, org, image, store, doctor, block_daemon)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; 0 if it did what was asked, 1 if it could not, 2 for a wrong command line."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(_settings(arguments), arguments)
    except (CommandFailed, SettingsError, StoreAway) as failed:
        print(f"openami: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("openami: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
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
    for verb in VERBS:
        verb.add_to(verbs)
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    environment = dict(os.environ)
    if arguments.state_dir is not None:
        environment["OPENAMI_STATE_DIR"] = str(arguments.state_dir.absolute())
    state_dir = settings.load(None, environment).state_dir
    return settings.load(state_dir / "openami.toml", environment)


if __name__ == "__main__":
    sys.exit(main())
