from pathlib import Path

import pytest

from openami.services import Services
from openami.workflows import registry, scratch
from support.builders import HERE
from support.fakes import services


def cannot(_svc: Services) -> None:
    raise OSError("the jobs cannot be read")


def test_copies_without_a_job_go_only_when_every_job_could_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = services(tmp_path)
    copy = scratch.home(svc, "snap-0123456789abcdef0")
    copy.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_RESUMES", (*registry._RESUMES, cannot))
        with pytest.raises(ExceptionGroup):
            registry.sweep(svc)
    assert copy.exists()
    registry.sweep(svc)
    assert not copy.exists()


def test_the_stores_are_looked_at_when_all_else_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may be on a disk that does not answer."""
    svc = services(tmp_path)
    copy = scratch.home(svc, "snap-0123456789abcdef0")
    copy.mkdir(parents=True)
    record = svc.claims[HERE][0].record
    was_there: list[bool] = []

    def fails() -> bytes:
        was_there.append(copy.exists())
        raise ValueError("nobody expected that")

    monkeypatch.setattr(record, "read", fails)
    with pytest.raises(ExceptionGroup):
        registry.sweep(svc)
    assert was_there == [False]
