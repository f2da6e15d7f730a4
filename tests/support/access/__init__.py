"""What a stranger, a reader and the owner get of each operation that names a resource.

A file per noun, with a table of rows. The stranger is an account with which nothing is shared;
with the reader everything is shared that can be; the owner made it all. What each of the three
has of its own is in things.py; former.py is of what was shared with the reader, and is no more.
"""

from collections.abc import Mapping
from typing import Final

from support.access import (
    beside,
    direct,
    event_windows,
    export_tasks,
    images,
    import_tasks,
    instances,
    key_pairs,
    launch_templates,
    lifecycle_policies,
    listings,
    network,
    parameters,
    recycle_bin,
    root_replacements,
    snapshots,
    stored_images,
    tags,
    volumes,
)
from support.access.row import Access

TABLES: Final[Mapping[str, tuple[Access, ...]]] = {
    "image": images.ROWS,
    "import": import_tasks.ROWS,
    "snapshot": snapshots.ROWS,
    "stored image": stored_images.ROWS,
    "export": export_tasks.ROWS,
    "volume": volumes.ROWS,
    "instance": instances.ROWS,
    "event window": event_windows.ROWS,
    "root replacement": root_replacements.ROWS,
    "network": network.ROWS,
    "key pair": key_pairs.ROWS,
    "launch template": launch_templates.ROWS,
    "tag": tags.ROWS,
    "beside": beside.ROWS,
    "listing": listings.ROWS,
    "parameter": parameters.ROWS,
    "recycle bin": recycle_bin.ROWS,
    "lifecycle policy": lifecycle_policies.ROWS,
    "direct": direct.ROWS,
}

NAMELESS: Final[Mapping[str, frozenset[str]]] = {
    "ec2": frozenset(
        {
            "DescribeAccountAttributes",
            "DescribeAggregateIdFormat",
            *(f"Describe{whose}IdFormat" for whose in ("", "Identity", "Principal")),
            "ModifyIdFormat",
            "CreateInstanceEventWindow",
            *(
                f"{verb}InstanceEventNotificationAttributes"
                for verb in ("Describe", "Register", "Deregister")
            ),
            "ModifyIdentityIdFormat",
            "GetInstanceMetadataDefaults",
            "ModifyInstanceMetadataDefaults",
            "EnableSerialConsoleAccess",
            "DisableSerialConsoleAccess",
            "GetInstanceTypesFromInstanceRequirements",
            "GetEbsEncryptionByDefault",
            "GetSerialConsoleAccessStatus",
            "DescribeAvailabilityZones",
            "DescribeInstanceTypeOfferings",
            "DescribeInstanceTypes",
            "DescribeRegions",
            *(f"{verb}AllowedImagesSettings" for verb in ("Enable", "Disable", "Get")),
            *(
                f"{verb}{noun}BlockPublicAccess{suffix}"
                for noun in ("Image", "Snapshot")
                for verb, suffix in (("Enable", ""), ("Disable", ""), ("Get", "State"))
            ),
            "ReplaceImageCriteriaInAllowedImagesSettings",
        }
    ),
    "ssm": frozenset(),
    "dlm": frozenset({"CreateLifecyclePolicy"}),
    "rbin": frozenset({"CreateRule", "ListRules"}),
    "ebs": frozenset(),
}
"""Operations, by service, that name no resource of any account."""
