"""Every workflow there is: made known to the engine at start, and started again by the sweep."""

from collections.abc import Callable, Sequence
from typing import Final

from openami.jobs.engine import Job
from openami.services import Services
from openami.workflows import (
    attach_volume,
    collect,
    complete_direct_snapshot,
    copy_image,
    copy_snapshot,
    copy_volume,
    create_image,
    create_snapshot,
    create_snapshots,
    create_volume,
    delete_volume,
    detach_volume,
    export_disk,
    fast_restores,
    host_cache,
    image_usage_report,
    import_image,
    import_task,
    launch,
    machines,
    modify_volume,
    purge_images,
    reboot_instance,
    recycle_bin,
    replace_root_volume,
    restore_image,
    scratch,
    snapshot_tiers,
    start_instance,
    stop_instance,
    store_copies,
    store_image,
    terminate_instance,
    uploads,
)

_JOBS: Final[Sequence[Callable[[Services], Job]]] = (
    launch.job,
    start_instance.job,
    stop_instance.job,
    reboot_instance.job,
    replace_root_volume.job,
    terminate_instance.job,
    create_volume.job,
    delete_volume.job,
    attach_volume.job,
    detach_volume.job,
    modify_volume.job,
    create_snapshot.job,
    create_snapshots.job,
    create_image.job,
    store_copies.job,
    import_image.job,
    import_task.job,
    copy_snapshot.job,
    copy_image.job,
    copy_volume.job,
    copy_volume.filling,
    store_image.job,
    restore_image.job,
    export_disk.job,
    image_usage_report.job,
    snapshot_tiers.job,
    complete_direct_snapshot.job,
    fast_restores.job,
    collect.job,
)

_RESUMES: Final[Sequence[Callable[[Services], None]]] = (
    recycle_bin.resume,  # first: it makes work for others
    snapshot_tiers.resume,
    fast_restores.resume,
    terminate_instance.resume,
    stop_instance.resume,
    launch.resume,
    start_instance.resume,
    reboot_instance.resume,
    replace_root_volume.resume,
    create_volume.resume,
    delete_volume.resume,
    attach_volume.resume,
    detach_volume.resume,
    modify_volume.resume,
    store_copies.resume,
    create_snapshot.resume,
    create_snapshots.resume,
    create_image.resume,
    import_image.resume,
    import_task.resume,
    copy_snapshot.resume,
    complete_direct_snapshot.resume,
    copy_image.resume,
    copy_volume.resume,
    store_image.resume,
    restore_image.resume,
    export_disk.resume,
    uploads.resume,
    purge_images.resume,
    image_usage_report.resume,
    machines.refresh_stale,
    host_cache.resume,
    collect.end_useless_leases,
)


def jobs(svc: Services) -> Sequence[Job]:
    """The jobs, closed over `svc`, for `Engine.register`."""
    return [make(svc) for make in _JOBS]


def sweep(svc: Services) -> None:
    """Start the workflow of every pending row that has none, and forget what is long gone.

    A crash between the commit of an intent and the start of its workflow heals here. What one of
    them meets keeps none of the others from going on. Raises ExceptionGroup at the end.
    """
    failures = _failures(svc, _RESUMES)
    if not failures:  # a copy whose job could not be started looks like a leftover
        failures += _failures(svc, [scratch.sweep])
    if failures:
        raise ExceptionGroup("parts of the sweep failed", failures)


def _failures(svc: Services, parts: Sequence[Callable[[Services], None]]) -> list[Exception]:
    """What those parts of the sweep met that could not be gone through."""
    found: list[Exception] = []
    for part in parts:
        try:
            part(svc)
        except Exception as failure:  # noqa: BLE001, told by the sweep
            found.append(failure)
    return found
