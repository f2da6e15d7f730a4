"""Every EC2 operation that openami answers. What is not in this table is not implemented."""

from collections.abc import Mapping
from typing import Final

from openami.ec2 import (
    allowed_images,
    console,
    copies,
    image_attributes,
    image_lineage,
    image_retirement,
    image_use,
    images,
    instance_attributes,
    instance_options,
    instance_types,
    instances,
    key_pairs,
    network,
    public_access,
    regions,
    root_replacements,
    run_instances,
    security_groups,
    snapshot_attributes,
    snapshots,
    tags,
    volume_changes,
    volumes,
)
from openami.ec2.operation import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {
    **images.OPERATIONS,
    **image_attributes.OPERATIONS,
    **image_retirement.OPERATIONS,
    **image_lineage.OPERATIONS,
    **image_use.OPERATIONS,
    **snapshots.OPERATIONS,
    **snapshot_attributes.OPERATIONS,
    **public_access.OPERATIONS,
    **allowed_images.OPERATIONS,
    **volumes.OPERATIONS,
    **volume_changes.OPERATIONS,
    **root_replacements.OPERATIONS,
    **tags.OPERATIONS,
    **run_instances.OPERATIONS,
    **instances.OPERATIONS,
    **instance_attributes.OPERATIONS,
    **instance_options.OPERATIONS,
    **instance_types.OPERATIONS,
    **console.OPERATIONS,
    **copies.OPERATIONS,
    **key_pairs.OPERATIONS,
    **security_groups.OPERATIONS,
    **network.OPERATIONS,
    **regions.OPERATIONS,
}
