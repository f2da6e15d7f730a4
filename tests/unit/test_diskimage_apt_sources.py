"""Of the build machine's apt sources only Debian 12's own are used."""

from pathlib import Path

import pytest

from openami.diskimage import apt_sources
from openami.diskimage.errors import DiskImageError


def etc_apt(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        place = "sources.list" if name == "main_list" else f"sources.list.d/{stem}.{suffix}"
        (tmp_path / place).write_text(text)
    return tmp_path


def test_a_one_line_source_is_taken_with_its_keyring(tmp_path: Path) -> None:
    line = "deb [arch=amd64 signed-by=/k.gpg] http://m.test/debian bookworm main contrib # x\n"
    found = apt_sources.for_build(etc_apt(tmp_path, main_list=line))
    assert found == ["deb [signed-by=/k.gpg] http://m.test/debian bookworm main"]


def test_a_stanza_gives_one_entry_for_each_suite(tmp_path: Path) -> None:
    stanza = (
        "# a remark\nTypes: deb\nURIs: http://m.test/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n"
    )
    found = apt_sources.for_build(etc_apt(tmp_path, debian_sources=stanza))
    assert found == [
        "deb [signed-by=/k.gpg] http://m.test/debian bookworm main",
        "deb [signed-by=/k.gpg] http://m.test/debian bookworm-updates main",
    ]


def test_a_key_inside_a_stanza_is_not_taken_for_a_file(tmp_path: Path) -> None:
    stanza = (
        "Types: deb\nURIs: http://m.test/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    found = apt_sources.for_build(etc_apt(tmp_path, debian_sources=stanza))
    assert found == ["deb http://m.test/debian bookworm main"]


@pytest.mark.parametrize(
    "line",
    [
        "deb http://vendor.test/apt nodistro main",
        "deb-src http://m.test/debian bookworm main",
        "# deb http://m.test/debian bookworm main",
        "deb http://m.test/debian trixie main",
        "deb http://m.test/debian bookworm contrib",
    ],
)
def test_other_vendors_suites_and_sources_are_left_out(tmp_path: Path, line: str) -> None:
    good = "deb http://m.test/debian bookworm main"
    found = apt_sources.for_build(etc_apt(tmp_path, main_list=f"{good}\n", other_list=f"{line}\n"))
    assert found == [good]


def test_a_disabled_stanza_is_left_out(tmp_path: Path) -> None:
    stanza = (
        "Types: deb\nEnabled: no\nURIs: http://m.test/x\nSuites: bookworm\nComponents: main\n"
        "\nTypes: deb\nURIs: http://m.test/y\nSuites: bookworm\nComponents: main\n"
    )
    found = apt_sources.for_build(etc_apt(tmp_path, debian_sources=stanza))
    assert found == ["deb http://m.test/y bookworm main"]


def test_a_machine_without_debian_12_sources_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DiskImageError, match="no source with the suite bookworm"):
        apt_sources.for_build(etc_apt(tmp_path, main_list="deb http://m.test/d trixie main\n"))


def test_the_image_names_only_debians_public_hosts() -> None:
    hosts = {line.split()[1].split("/")[2] for line in apt_sources.PUBLIC.splitlines()}
    assert hosts == {"deb.debian.org"}
