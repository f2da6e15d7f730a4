"""A parameter's AllowedPattern, tried on a value in a process of its own.

A regular expression can take longer than the age of the world on forty characters, and holds
the whole process meanwhile. The one who gives it is a caller, so it runs where it can be ended.
"""

import json
import subprocess
import sys
from typing import Final

from openami.domain.errors import EC2Error

DEADLINE_S: Final = 2.0

_PROGRAM: Final = """
import json, re, sys
pattern, value = json.load(sys.stdin)
try:
    found = re.search(pattern, value)
except re.error:
    sys.exit(3)
sys.exit(0 if found else 4)
"""


def check_allowed_pattern(pattern: str, value: str) -> None:
    """Raises InvalidAllowedPatternException, ParameterPatternMismatchException."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([pattern, value]).encode(),
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as slow:
        raise EC2Error.of(
            "InvalidAllowedPatternException",
            f"The pattern could not be tried on the value within {DEADLINE_S} seconds.",
        ) from slow
    if done.returncode == 4:
        raise EC2Error.of(
            "ParameterPatternMismatchException",
            f"Parameter value, cannot be validated against allowedPattern: {pattern}",
        )
    if done.returncode != 0:
        raise EC2Error.of(
            "InvalidAllowedPatternException", f"The regular expression {pattern} is not valid."
        )
