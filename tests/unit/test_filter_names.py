"""The filters that EC2 documents for a listing are those that it takes here."""

import re

import pytest
from botocore.loaders import Loader

from openami.catalog import snapshots, tags, volumes
from openami.catalog.image_filters import FILTERS as IMAGE_FILTERS

MODEL = Loader().load_service_model("ec2", "service-2")
SEVERITIES = {"informational", "low", "medium", "high", "critical"}  # values of one of them
OF_ANY = {"tag", "tag-key"}  # answered for every noun in one place
BY_NAME = {"availability-zone-id"}  # answered by the names of the zones


def documented(operation: str) -> set[str]:
    shape = MODEL["operations"][operation]["input"]["shape"]
    text = MODEL["shapes"][shape]["members"]["Filters"]["documentation"]
    names = {name.rstrip(":") for name in re.findall(r"<li> <p> ?<code>([a-z-.]+:?)", text)}
    return names - SEVERITIES


@pytest.mark.parametrize(
    ("operation", "known"),
    [
        ("DescribeImages", IMAGE_FILTERS),
        ("DescribeSnapshots", snapshots.FILTERS),
        ("DescribeVolumes", volumes.FILTERS),
        ("DescribeVolumeStatus", volumes.status_filters(())),
        ("DescribeTags", tags.FILTERS),
    ],
)
def test_every_documented_filter_is_known_and_no_other(
    operation: str, known: dict[str, object]
) -> None:
    wanted = documented(operation)
    assert len(wanted) > 3
    assert wanted - set(known) - OF_ANY - BY_NAME == set()
    assert set(known) - wanted == set()
