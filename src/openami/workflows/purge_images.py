"""Deregistered images stay known for an hour, so that a client hears what became of them,
and as long as there are instances of them. What descends from them keeps their lineage."""

from datetime import timedelta
from typing import Final

from openami.catalog import image_facts, images, tags
from openami.services import Services

REMEMBERED: Final = timedelta(hours=1)


def resume(svc: Services) -> None:
    """Forget the images that were deregistered more than an hour ago and are not in use."""
    before = svc.clock.now() - REMEMBERED
    with svc.catalog.read() as tx:
        if not image_facts.purgeable(tx, before):
            return
    with svc.catalog.begin() as tx:
        for image_id in image_facts.purgeable(tx, before):
            images.remove(tx, image_id)
            tags.remove_all(tx, image_id)
        while image_facts.forget_childless(tx):
            pass  # each that goes may have been the last to descend from another
