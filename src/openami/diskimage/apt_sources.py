"""Where packages come from: the build machine's sources for a build, Debian's own in the image."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from openami.diskimage.errors import DiskImageError

SUITES: Final = ("bookworm", "bookworm-updates", "bookworm-security")
PUBLIC: Final = """\
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
_LINE: Final = re.compile(r"^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(\S.*)$")


def for_build(etc_apt: Path) -> list[str]:
    """One-line entries (sources.list(5)) of the machine's sources for Debian 12's own suites.

    Only component main; other distributions, suites and vendors are left out. Raises
    DiskImageError if none gives bookworm.
    """
    entries = sorted(set(_all_entries(etc_apt)))
    if not any(f" {SUITES[0]} " in entry for entry in entries):
        raise DiskImageError(f"{etc_apt} has no source with the suite {SUITES[0]}")
    return entries


def _all_entries(etc_apt: Path) -> Iterator[str]:
    folder = etc_apt / "sources.list.d"
    for path in [etc_apt / "sources.list", *sorted(folder.glob("*.list"))]:
        if path.exists():
            yield from _from_lines(path.read_text())
    for path in sorted(folder.glob("*.sources")):
        yield from _from_stanzas(path.read_text())


def _from_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        found = _LINE.match(line.split("#")[0].strip())
        if found is None:
            continue
        options, uri, suite, components = found.groups()
        keyring = re.search(r"signed-by=(\S+)", options or "")
        yield from _entries([uri], [suite], components.split(), keyring and keyring.group(1))


def _from_stanzas(text: str) -> Iterator[str]:
    for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        joined = re.sub(r"\n[ \t]+", " ", stanza)
        fields = dict(re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*)$", joined))
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled") == "no":
            continue
        uris, suites = fields.get("URIs", "").split(), fields.get("Suites", "").split()
        yield from _entries(
            uris, suites, fields.get("Components", "").split(), fields.get("Signed-By")
        )


def _entries(
    uris: Iterable[str], suites: Iterable[str], components: Iterable[str], keyring: str | None
) -> Iterator[str]:
    if "main" not in components:
        return
    # A key written out in the source itself is left to the machine's keyring.
    options = f"[signed-by={keyring}] " if keyring and keyring.startswith("/") else ""
    for uri in uris:
        for suite in suites:
            if suite in SUITES:
                yield f"deb {options}{uri} {suite} main"
