"""An image with its disks becomes one object in a bucket."""

import logging
from collections.abc import Iterator
from typing import Final

from openami.blockstore import archive
from openami.blockstore.store import ChunkLost
from openami.catalog.transfers import store_image_tasks as tasks
from openami.domain.block import GIB
from openami.domain.ids import StoreImageTaskId
from openami.domain.transfers.store_image_task import StoreImageTask, StoreTaskState
from openami.domain.transfers.stored_image import parsed
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import TRANSFERS
from openami.services import Services
from openami.workflows import uploads
from openami.workflows.progress import whole_percents

NAME: Final = "store_image"
_log = logging.getLogger(__name__)


def start(svc: Services, task: StoreImageTask) -> str:
    """Begin the upload of a task, once, when it is its owner's turn. The id of the job."""
    job_id = f"{NAME}:{task.id}"
    svc.jobs.start(NAME, job_id, {"task_id": task.id}, owner=task.owner, regions=[task.region])
    return job_id


def resume(svc: Services) -> None:
    """Start what has no job, and forget the tasks that are too old to be told of."""
    with svc.catalog.read() as tx:
        waiting = tasks.in_progress(tx)
    for task in waiting:
        start(svc, task)
    with svc.catalog.begin() as tx:
        tasks.forget(tx, svc.clock.now())


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("upload", lambda args: _upload(svc, args)),
            ("complete the task", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, reason: _fail(svc, args, reason),
        lane=TRANSFERS,
    )


def _task(svc: Services, args: Args) -> StoreImageTask | None:
    """The task, while it is in progress."""
    with svc.catalog.read() as tx:
        task = tasks.fetch_any(tx, StoreImageTaskId(str(args["task_id"])))
    return task if task is not None and task.state is StoreTaskState.IN_PROGRESS else None


def _upload(svc: Services, args: Args) -> None:
    task = _task(svc, args)
    if task is None:
        return
    try:
        uploads.upload(
            *(svc, task.owner, (task.bucket, task.key)),
            lambda: _object(svc, task),
            lambda: None,  # nothing cancels it
            tags=task.object_tags,
            size_bytes=task.size_gib * GIB,
        )
    except ChunkLost as lost:
        _log.exception("%s cannot be stored", task.image_id)
        raise GiveUp("The image's content cannot be read") from lost


def _object(svc: Services, task: StoreImageTask) -> Iterator[bytes]:
    def tell(percent: int) -> None:
        with svc.catalog.begin() as tx:
            tasks.save_progress(tx, task.id, percent)

    head = task.head.encode()
    yield archive.head(head)
    roots = parsed(head, task.started_at).roots
    progress = whole_percents(tell, task.progress_percent)
    yield from archive.records(svc.stores[task.region], roots, progress)


def _complete(svc: Services, args: Args) -> None:
    task = _task(svc, args)
    if task is not None:
        with svc.catalog.begin() as tx:
            tasks.save(tx, task.completed())


def _fail(svc: Services, args: Args, reason: str) -> None:
    task = _task(svc, args)
    if task is not None:
        uploads.withdraw(svc, task.owner, (task.bucket, task.key))
        with svc.catalog.begin() as tx:
            tasks.save(tx, task.failed(reason))
