from pathlib import Path
from typing import Never

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


def test_the_sweep_looks_at_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One may be on a disk that does not answer."""
    svc = services(tmp_path)

    def never_answers() -> Never:
        raise AssertionError("the sweep would stand still here")

    monkeypatch.setattr(svc.claims[HERE][0].record, "read", never_answers)
    registry.sweep(svc)
