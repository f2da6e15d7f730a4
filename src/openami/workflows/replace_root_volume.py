"""A running instance gets another root volume: its machine ends, the volumes change places, and
it starts again from the new one.

The change of places is one transaction, so whatever is cut off leaves the instance with the old
root or with the new one. A machine that does not start from the new one gets the old one back.
"""

import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

from openami.catalog import instances, root_replacements, volumes
from openami.catalog.catalog import Transaction
from openami.compute.driver import MachineState
from openami.domain.ids import ReplaceRootVolumeTaskId, VolumeId
from openami.domain.instance import Instance, InstanceState
from openami.domain.root_replacement import UNFINISHED, ReplaceRootVolumeTask, TaskEvent, TaskState
from openami.domain.volume import Attachment, Volume, VolumeEvent, VolumeState
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services
from openami.workflows import (
    create_volume,
    delete_volume,
    machines,
    recycle_bin,
    scratch,
    stop_instance,
)

NAME: Final = "replace_root_volume"

_log = logging.getLogger(__name__)

_HELD: Final = (InstanceState.RUNNING, InstanceState.STOPPING, InstanceState.STOPPED)


def start(svc: Services, task: ReplaceRootVolumeTask) -> str:
    """Begin the task, once. The id of the job."""
    job_id = f"{NAME}:{task.id}"
    svc.jobs.start(NAME, job_id, {"task_id": task.id})
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = root_replacements.unfinished(tx)
    for task in waiting:
        start(svc, task)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("make the replacement", lambda args: _make(svc, args)),
            ("shut down the guest", lambda args: _shut_down(svc, args)),
            ("swap the volumes", lambda args: _swap(svc, args)),
            ("start the machine", lambda args: _start(svc, args)),
            ("complete the task", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, reason: give_up(svc, args, reason),
    )


def _fetched(tx: Transaction, args: Args) -> ReplaceRootVolumeTask:
    task = root_replacements.fetch_any(tx, ReplaceRootVolumeTaskId(str(args["task_id"])))
    if task is None:
        raise GiveUp("the task is forgotten with its instance")
    return task


def _task(svc: Services, args: Args) -> ReplaceRootVolumeTask:
    with svc.catalog.read() as tx:
        return _fetched(tx, args)


def _is_ours(instance: Instance | None, task: ReplaceRootVolumeTask) -> bool:
    """Whether the instance still waits for the task: nobody stopped or terminated it."""
    return (
        instance is not None
        and instance.state is InstanceState.RUNNING
        and instance.rebooting_for == task.id
    )


def _make(svc: Services, args: Args) -> None:
    task = _task(svc, args)
    if task.state is not TaskState.PENDING:
        return
    create_volume.make(svc, task.new_volume_id)
    with svc.catalog.begin() as tx:
        task = _fetched(tx, args)
        if task.state is TaskState.PENDING:
            root_replacements.save(tx, task.after(TaskEvent.VOLUME_READY))


def _shut_down(svc: Services, args: Args) -> None:
    """Without the instance's lock: it may take minutes, and TerminateInstances may not wait."""
    task = _task(svc, args)
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, task.instance_id)
    if _is_ours(instance, task):
        scratch.wait_for_copies(svc, task.instance_id, svc.settings.stop_timeout_s)
        machines.shut_down(svc, task.instance_id, svc.settings.stop_timeout_s)


@contextmanager
def _held(svc: Services, task: ReplaceRootVolumeTask) -> Generator[None]:
    """The instance and both volumes, in the order in which everybody locks them."""
    with ExitStack() as held:
        held.enter_context(svc.locks(task.instance_id))
        for volume_id in sorted((task.old_volume_id, task.new_volume_id)):
            held.enter_context(svc.locks(volume_id))
        yield


def _swap(svc: Services, args: Args) -> None:
    task = _task(svc, args)
    with _held(svc, task):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, task.instance_id)
            old = volumes.fetch_any(tx, task.old_volume_id)
            new = volumes.fetch_any(tx, task.new_volume_id)
        if _as_root(new, instance) is not None:
            return  # it was done before
        if not _is_ours(instance, task):
            raise GiveUp(f"{task.instance_id} was stopped or terminated")
        if _as_root(old, instance) is None:
            raise GiveUp(f"{task.old_volume_id} is not the root of {task.instance_id} any more")
        svc.compute.kill(task.instance_id)  # it is gone already, unless somebody meddled
        if task.image_id is not None:
            svc.compute.reset_firmware(task.instance_id)
        with svc.catalog.begin() as tx:
            _commit_swap(svc, tx, args)


def _commit_swap(svc: Services, tx: Transaction, args: Args) -> None:
    task = _fetched(tx, args)
    instance = instances.fetch_any(tx, task.instance_id)
    old = volumes.fetch_any(tx, task.old_volume_id)
    new = volumes.fetch_any(tx, task.new_volume_id)
    its = _as_root(old, instance)
    if instance is None or not _is_ours(instance, task) or old is None or its is None:
        raise GiveUp(f"{task.instance_id} changed while its root was about to be replaced")
    if new is None or new.state is not VolumeState.AVAILABLE:
        raise GiveUp(f"{task.new_volume_id} is not available any more")
    volumes.save(tx, old.detached())
    volumes.save(tx, new.attached(replace(its, attached_at=svc.clock.now())))
    instances.save(tx, task.later.given_to(instance))


def _as_root(volume: Volume | None, instance: Instance | None) -> Attachment | None:
    """The volume's attachment, if it is the instance's root."""
    if volume is None or volume.attachment is None or instance is None:
        return None
    its = volume.attachment
    place = (its.instance_id, its.device_name)
    return its if place == (instance.id, instance.root_device_name) else None


def _start(svc: Services, args: Args) -> None:
    try:
        machines.run_again(svc, _task(svc, args).instance_id)
    except machines.CANNOT_START as failure:
        raise GiveUp(str(failure)) from failure


def _complete(svc: Services, args: Args) -> None:
    with svc.catalog.begin() as tx:
        task = _fetched(tx, args)
        if task.state is TaskState.IN_PROGRESS:
            root_replacements.save(tx, task.ended(TaskEvent.REPLACED, svc.clock.now()))
            if task.delete_replaced:
                _retire(svc, tx, volumes.fetch_any(tx, task.old_volume_id))
    if task.delete_replaced:
        _delete(svc, task.old_volume_id)


def _retire(svc: Services, tx: Transaction, volume: Volume | None) -> None:
    """To the Recycle Bin if a rule says so, or else for good."""
    free = volume is not None and volume.attachment is None
    if volume is None or not free or not recycle_bin.retains_volume(svc, tx, volume):
        _doom(tx, volume)


def _doom(tx: Transaction, volume: Volume | None) -> None:
    """Commit that a volume goes, unless somebody has attached it meanwhile."""
    going = (VolumeState.CREATING, VolumeState.AVAILABLE, VolumeState.ERROR)
    if volume is not None and volume.attachment is None and volume.state in going:
        volumes.save(tx, volume.after(VolumeEvent.DELETE))


def _delete(svc: Services, volume_id: VolumeId) -> None:
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, volume_id)
    if volume is not None and volume.state is VolumeState.DELETING:
        delete_volume.start(svc, volume_id)


def give_up(svc: Services, args: Args, why: str) -> None:
    """Bring the old root back and the machine with it; the volume made for the task goes."""
    with svc.catalog.begin() as tx:
        task = root_replacements.fetch_any(tx, ReplaceRootVolumeTaskId(str(args["task_id"])))
        if task is None or task.state not in UNFINISHED:
            return
        if task.state is not TaskState.FAILING:
            task = task.after(TaskEvent.FAIL)
            root_replacements.save(tx, task)
    _log.warning("%s of %s fails: %s", task.id, task.instance_id, why)
    _swap_back(svc, task)
    _bring_back(svc, task)
    with svc.catalog.begin() as tx:
        _fail(svc, tx, task)
    if task.made_volume:
        _delete(svc, task.new_volume_id)


def _swap_back(svc: Services, task: ReplaceRootVolumeTask) -> None:
    with _held(svc, task):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, task.instance_id)
        if instance is None or instance.state not in _HELD:
            return
        if _is_ours(instance, task):
            svc.compute.kill(task.instance_id)
        if svc.compute.state(task.instance_id) is MachineState.ABSENT:
            with svc.catalog.begin() as tx:
                _commit_swap_back(tx, task)


def _commit_swap_back(tx: Transaction, task: ReplaceRootVolumeTask) -> None:
    instance = instances.fetch_any(tx, task.instance_id)
    old = volumes.fetch_any(tx, task.old_volume_id)
    new = volumes.fetch_any(tx, task.new_volume_id)
    its = _as_root(new, instance)
    if instance is None or instance.state not in _HELD or new is None or its is None:
        return
    if old is not None and old.state is VolumeState.AVAILABLE:
        volumes.save(tx, new.detached())
        volumes.save(tx, old.attached(its))
        instances.save(tx, task.before.given_to(instance))


def _bring_back(svc: Services, task: ReplaceRootVolumeTask) -> None:
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, task.instance_id)
    if not _is_ours(instance, task):
        return
    try:
        machines.run_again(svc, task.instance_id)
    except machines.CANNOT_START as failure:
        _log.warning("%s does not come back: %s", task.instance_id, failure)
        stop_instance.leave_stopped(svc, task.instance_id, task.id)


def _fail(svc: Services, tx: Transaction, task: ReplaceRootVolumeTask) -> None:
    instance = instances.fetch_any(tx, task.instance_id)
    has_root = instance is None or any(
        each.attachment is not None and each.attachment.device_name == instance.root_device_name
        for each in volumes.of_instance(tx, instance.id)
    )
    gone = instance is not None and instance.state in _HELD and not has_root
    event = TaskEvent.ROOT_GONE if gone else TaskEvent.ROOT_KEPT
    root_replacements.save(tx, task.ended(event, svc.clock.now()))
    if task.made_volume:
        _doom(tx, volumes.fetch_any(tx, task.new_volume_id))
