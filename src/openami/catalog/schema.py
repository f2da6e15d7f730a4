"""The tables. Every query lives beside its noun; no other package writes SQL.

A table's columns carry the names of its noun's fields, so `Noun(**row._mapping)` is the
whole mapping. What a filter searches is a column or a child table, never JSON.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from openami.catalog import types
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.image import ImageState
from openami.domain.instance import InstanceState
from openami.domain.snapshot import SnapshotState
from openami.domain.volume import AttachmentState, VolumeState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str = "id", *, key: bool = False, index: bool = False) -> Column[str]:
    return Column(name, String(32), primary_key=key, nullable=False, index=index)


def _place() -> tuple[Column[str], Column[str]]:
    """Which region a resource is in and which account owns it."""
    return Column("region", String(32), nullable=False), Column("owner", String(12), nullable=False)


accounts = Table(
    "account",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
)

access_keys = Table(
    "access_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", String(12), nullable=False, index=True),
    Column("secret", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("active", Boolean, nullable=False),
)

images = Table(
    "image",
    metadata,
    _id(key=True),
    *_place(),
    Column("name", String(128), nullable=False),
    Column("state", EnumText(ImageState), nullable=False),
    Column("root_device_name", String(32), nullable=False),
    Column("block_device_mappings", types.block_device_mappings(), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("description", Text),
    Column("location", Text, nullable=False),
    Column("architecture", String(16), nullable=False),
    Column("virtualization_type", String(16), nullable=False),
    Column("boot_mode", String(16)),
    Column("ena_support", Boolean, nullable=False),
    Column("sriov_net_support", String(16)),
    Column("tpm_support", String(8)),
    Column("imds_support", String(8)),
    Column("kernel_id", String(32)),
    Column("ramdisk_id", String(32)),
    Column("platform", String(16)),
    Column("source_instance_id", String(32)),
    Column("source_image_id", String(32)),
    Column("source_image_region", String(32)),
    Column("last_launched_at", UtcDateTime),
    Column("deregistered_at", UtcDateTime),
    Column("state_reason", types.state_reason()),
    Column("public", Boolean, nullable=False),
)
Index("ix_image_owner", images.c.owner, images.c.region)
# A name is an account's own in a region while the image exists; deregistering frees it.
Index(
    "uq_image_name",
    images.c.owner,
    images.c.region,
    images.c.name,
    unique=True,
    sqlite_where=text("state != 'deregistered'"),
    postgresql_where=text("state != 'deregistered'"),
)
Index(
    "ix_image_public",
    images.c.region,
    sqlite_where=text("public"),
    postgresql_where=text("public"),
)

image_launch_permissions = Table(
    "image_launch_permission",
    metadata,
    _id("image_id", key=True),
    Column("account", String(12), primary_key=True, index=True),
)

# The searchable shadow of image.block_device_mappings, for filters and for snapshots in use.
image_devices = Table(
    "image_device",
    metadata,
    _id("image_id", key=True),
    Column("device_name", String(32), primary_key=True),
    Column("snapshot_id", String(32), index=True),
    Column("volume_size_gib", Integer),
    Column("volume_type", String(16)),
    Column("delete_on_termination", Boolean),
)

snapshots = Table(
    "snapshot",
    metadata,
    _id(key=True),
    *_place(),
    _id("volume_id", index=True),
    Column("volume_size_gib", Integer, nullable=False),
    Column("state", EnumText(SnapshotState), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("description", Text, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("progress_percent", Integer, nullable=False),
    Column("state_message", Text),
    Column("root", String(96)),
)
Index("ix_snapshot_owner", snapshots.c.owner, snapshots.c.region)

volumes = Table(
    "volume",
    metadata,
    _id(key=True),
    *_place(),
    Column("availability_zone", String(32), nullable=False),
    Column("size_gib", Integer, nullable=False),
    Column("state", EnumText(VolumeState), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("volume_type", String(16), nullable=False),
    Column("iops", Integer),
    Column("throughput", Integer),
    Column("snapshot_id", String(32), index=True),
    Column("root", String(96)),
)
Index("ix_volume_owner", volumes.c.owner, volumes.c.region)

attachments = Table(
    "attachment",
    metadata,
    _id("volume_id", key=True),
    _id("instance_id"),
    Column("device_name", String(32), nullable=False),
    Column("state", EnumText(AttachmentState), nullable=False),
    Column("attached_at", UtcDateTime, nullable=False),
    Column("delete_on_termination", Boolean, nullable=False),
    UniqueConstraint("instance_id", "device_name"),
)

instances = Table(
    "instance",
    metadata,
    _id(key=True),
    *_place(),
    Column("availability_zone", String(32), nullable=False),
    _id("reservation_id", index=True),
    Column("launch_index", Integer, nullable=False),
    _id("image_id", index=True),
    Column("instance_type", String(32), nullable=False),
    Column("state", EnumText(InstanceState), nullable=False, index=True),
    Column("launched_at", UtcDateTime, nullable=False),
    Column("first_launched_at", UtcDateTime, nullable=False),
    Column("architecture", String(16), nullable=False),
    Column("root_device_name", String(32), nullable=False),
    _id("vpc_id"),
    _id("subnet_id"),
    _id("network_interface_id", index=True),
    Column("mac", String(17), nullable=False),
    Column("private_ip", String(15), nullable=False),
    Column("security_group_ids", types.texts(), nullable=False),
    Column("driver", String(16), nullable=False),
    Column("boot_mode", String(16)),
    Column("current_boot_mode", String(16), nullable=False),
    Column("public_ip", String(15), unique=True),
    Column("port_number", Integer, unique=True),
    Column("key_name", String(255)),
    Column("user_data", LargeBinary),
    Column("client_token", String(64)),
    Column("shutdown_behavior", String(16), nullable=False),
    Column("disable_api_termination", Boolean, nullable=False),
    Column("disable_api_stop", Boolean, nullable=False),
    Column("ebs_optimized", Boolean, nullable=False),
    Column("monitoring", Boolean, nullable=False),
    Column("source_dest_check", Boolean, nullable=False),
    Column("ena_support", Boolean, nullable=False),
    Column("associates_public_ip", Boolean, nullable=False),
    Column("cpu_credits", String(16)),
    Column("rebooting_for", String(32)),
    Column("metadata_options", types.metadata_options(), nullable=False),
    Column("ephemeral_disks", types.ephemeral_disks(), nullable=False),
    Column("state_reason", types.state_reason()),
    Column("state_transition_reason", Text, nullable=False),
    Column("transitions", Integer, nullable=False),
    Column("terminated_at", UtcDateTime),
)
Index("ix_instance_owner", instances.c.owner, instances.c.region)
Index(
    "uq_instance_private_ip",
    instances.c.subnet_id,
    instances.c.private_ip,
    unique=True,
    sqlite_where=text("state != 'terminated'"),
    postgresql_where=text("state != 'terminated'"),
)

instance_security_groups = Table(
    "instance_security_group",
    metadata,
    _id("instance_id", key=True),
    _id("group_id", key=True, index=True),
)

vpcs = Table(
    "vpc",
    metadata,
    _id(key=True),
    *_place(),
    Column("cidr", String(18), nullable=False, unique=True),
    UniqueConstraint("owner", "region"),
)

subnets = Table(
    "subnet",
    metadata,
    _id(key=True),
    _id("vpc_id", index=True),
    *_place(),
    Column("availability_zone", String(32), nullable=False),
    Column("cidr", String(18), nullable=False),
)

security_groups = Table(
    "security_group",
    metadata,
    _id(key=True),
    _id("vpc_id"),
    *_place(),
    Column("name", String(255), nullable=False),
    Column("description", String(255), nullable=False),
    UniqueConstraint("vpc_id", "name"),
)

security_group_rules = Table(
    "security_group_rule",
    metadata,
    _id(key=True),
    _id("group_id", index=True),
    Column("is_egress", Boolean, nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("from_port", Integer, nullable=False),
    Column("to_port", Integer, nullable=False),
    Column("cidr_ipv4", String(18)),
    Column("cidr_ipv6", String(43)),
    Column("source_group_id", String(32), index=True),
    Column("description", String(255)),
)

key_pairs = Table(
    "key_pair",
    metadata,
    _id(key=True),
    *_place(),
    Column("name", String(255), nullable=False),
    Column("key_type", String(8), nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner", "region", "name"),
)

# Tags are an account's own: two accounts may tag one image differently.
tags = Table(
    "tag",
    metadata,
    Column("account", String(12), primary_key=True),
    _id("resource_id", key=True, index=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("region", String(32), nullable=False),
)
Index("ix_tag_key", tags.c.key, tags.c.value)

idempotency_tokens = Table(
    "idempotency_token",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("operation", String(64), primary_key=True),
    Column("token", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    _id("resource_id"),
    Column("created_at", UtcDateTime, nullable=False),
)

# Who is writing chunks that no manifest in the catalog names yet (DESIGN section 4).
ingest_leases = Table(
    "ingest_lease",
    metadata,
    _id("resource_id", key=True),
    Column("started_at", UtcDateTime, nullable=False),
)
