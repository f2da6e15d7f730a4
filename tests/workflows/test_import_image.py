"""An import of the operator's disk, cut off at its seam: after the rows, before the job."""

import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from openami.actions.transfers import import_image
from openami.catalog import images, ingests, migrate
from openami.catalog.catalog import Catalog
from openami.domain.ids import ImageId
from openami.domain.image import Image, ImageState
from openami.jobs.engine import Args
from openami.jobs.inline import InlineEngine
from openami.services import Services
from openami.workflows import registry
from support.builders import a_caller
from support.fakes import services


class Killed(BaseException):
    """Here the process would have died."""


class EngineThatDies(InlineEngine):
    def start(
        self,
        name: str,
        job_id: str,
        args: Args,
        *,
        owner: str = "",
        regions: Collection[str] = (),
    ) -> None:
        raise Killed


class EngineSweptBefore(InlineEngine):
    """A sweep comes between the commit of an intent and the start of its job."""

    svc: Services
    sweep: threading.Thread

    def start(
        self,
        name: str,
        job_id: str,
        args: Args,
        *,
        owner: str = "",
        regions: Collection[str] = (),
    ) -> None:
        self.sweep = threading.Thread(target=lambda: registry.sweep(self.svc))
        self.sweep.start()
        self.sweep.join(0.3)
        super().start(name, job_id, args)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.raw"
    file.write_bytes(b"openami!" * 4096)
    return file


def test_an_import_that_a_crash_cut_off_before_its_job_fails_at_the_next_start(
    tmp_path: Path, disk: Path
) -> None:
    svc = services(tmp_path)
    dying = EngineThatDies(clock=svc.clock)
    with pytest.raises(Killed):
        import_image.import_image(replace(svc, jobs=dying), a_caller(), an_import(disk))
    registry.sweep(svc)
    with svc.catalog.read() as tx:
        assert images.pending(tx) == []
        assert ingests.all_active(tx) == []


def test_an_import_that_is_just_beginning_is_not_taken_for_one_that_was_cut_off(
    tmp_path: Path, disk: Path
) -> None:
    svc = services(tmp_path)
    engine = EngineSweptBefore(clock=svc.clock)
    file = Catalog.open(tmp_path / "catalog.sqlite")  # in memory there is one connection for all
    migrate.upgrade(file)
    svc = engine.svc = replace(svc, catalog=file, jobs=engine)
    for job in registry.jobs(svc):
        engine.register(job)
    engine.launch()
    image_id = import_image.import_image(svc, a_caller(), an_import(disk))
    engine.sweep.join()
    assert the_image(svc, image_id).state is ImageState.AVAILABLE
    file.close()


def an_import(disk: Path) -> import_image.Import:
    return import_image.Import(path=disk, name="debian", boot_mode="uefi")


def the_image(svc: Services, image_id: ImageId) -> Image:
    with svc.catalog.read() as tx:
        found = images.fetch_any(tx, image_id)
    assert found is not None
    return found
