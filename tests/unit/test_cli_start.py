"""The command line starts with what it needs, and each verb tells how it is used."""

import subprocess
import sys

import pytest

from openami.cli.main import VERBS, main

_HEAVY = ("sqlalchemy", "numpy", "botocore", "dbos", "openami.app", "openami.catalog")
_LOADED_AFTER_HELP = f"""
import sys
from openami.cli.main import main
try:
    main(["--help"])
except SystemExit:
    print("loaded:", [each for each in {_HEAVY!r} if each in sys.modules])
"""


def test_the_help_needs_neither_a_server_nor_a_catalog() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _LOADED_AFTER_HELP], capture_output=True, text=True, check=True
    ).stdout
    assert all(f"  {verb} " in told for verb in VERBS)
    assert told.endswith("loaded: []\n")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_tells_how_it_is_used(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--state-dir", "/nowhere", verb, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: openami {verb} ")


def test_a_verb_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    assert ended.value.code == 2
    assert "invalid choice: 'verify'" in capsys.readouterr().err
