"""An S3 for a server's chunks, SeaweedFS from PyPI, at the other end of a wire that counts."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import boto3

from bench.wire import Wire, wire_to
from openami.app import RealClock, RealIds
from openami.domain.store_place import BucketPlace
from openami.objects.store import Endpoint
from openami.objects.weed import EmbeddedS3

BUCKET: Final = "chunks"
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStore:
    wire: Wire
    place: BucketPlace

    @property
    def settings(self) -> Mapping[str, str]:
        """Of a server whose first region's chunks are in it."""
        at, place = self.place, f"s3://{self.place.bucket}/{self.place.prefix}"
        return {
            "region_stores": f"{REGION}={place}?endpoint={at.endpoint}",
            "region_store_keys": f"{REGION}={at.access_key_id}:{at.secret_access_key}",
        }


@contextmanager
def far_store(directory: Path) -> Generator[FarStore]:
    """An empty one, which ends with what it has."""
    directory.mkdir(parents=True)
    weed = EmbeddedS3(directory, RealClock(), RealIds())
    try:
        endpoint = weed.endpoint()
        _make_bucket(endpoint)
        port = urlsplit(endpoint.url).port
        assert port is not None
        with wire_to(port) as wire:
            yield FarStore(wire=wire, place=_place(endpoint, wire.port))
    finally:
        weed.close()


def _make_bucket(endpoint: Endpoint) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key,
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()


def _place(endpoint: Endpoint, port: int) -> BucketPlace:
    return BucketPlace(
        bucket=BUCKET,
        prefix="bench",
        endpoint=f"http://127.0.0.1:{port}",
        region=endpoint.region,
        access_key_id=endpoint.access_key_id,
        secret_access_key=endpoint.secret_access_key,
    )
