"""The object store that the settings name."""

from typing import NoReturn

from openami.domain.ids import Clock, Ids
from openami.objects.s3 import S3Objects
from openami.objects.store import Endpoint, ObjectStore, ObjectStoreError
from openami.objects.weed import EmbeddedS3
from openami.settings import Settings


def chosen(settings: Settings, clock: Clock, ids: Ids) -> ObjectStore:
    """Nothing is started or connected yet."""
    if settings.s3_endpoint == "none":
        return S3Objects(_none, clock)
    if settings.s3_endpoint == "embedded":
        embedded = EmbeddedS3(settings.state_dir / "s3", clock, ids)
        return S3Objects(embedded.endpoint, clock, embedded.close)
    external = Endpoint(
        url=settings.s3_endpoint.rstrip("/"),
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
        region=settings.s3_region,
    )
    return S3Objects(lambda: external, clock)


def _none() -> NoReturn:
    raise ObjectStoreError("this server has no S3: its setting s3_endpoint is 'none'")
