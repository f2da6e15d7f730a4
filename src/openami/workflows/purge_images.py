"""Deregistered images stay known for an hour, so that a client hears what became of them."""

from datetime import timedelta
from typing import Final

from openami.catalog import images, tags
from openami.services import Services

REMEMBERED: Final = timedelta(hours=1)


def resume(svc: Services) -> None:
    """Forget the images that were deregistered more than an hour ago."""
    before = svc.clock.now() - REMEMBERED
    with svc.catalog.read() as tx:
        if not images.deregistered_before(tx, before):
            return
    with svc.catalog.begin() as tx:
        for image_id in images.deregistered_before(tx, before):
            images.remove(tx, image_id)
            tags.remove_all(tx, image_id)
