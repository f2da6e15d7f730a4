"""A SeaweedFS for all who want a real S3."""

from collections.abc import Generator
from typing import Final

import pytest

from openami.app import RealClock, RealIds
from openami.objects.store import Endpoint
from openami.objects.weed import EmbeddedS3
from support.objects import make_bucket

BUCKET: Final = "things"


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Endpoint]:
    """Its endpoint, with a bucket BUCKET."""
    embedded = EmbeddedS3(tmp_path_factory.mktemp("s3"), RealClock(), RealIds())
    try:
        make_bucket(embedded.endpoint(), BUCKET)
        yield embedded.endpoint()
    finally:
        embedded.close()
