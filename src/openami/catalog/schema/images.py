"""Images, who may launch them, and the searchable shadow of their devices."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, text

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.image import ImageState
from openami.domain.image_retirement import DeregistrationProtection

images = Table(
    "image",
    metadata,
    id_column(key=True),
    *place(),
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
    Column("deprecated_at", UtcDateTime),
    Column(
        "deregistration_protection",
        EnumText(DeregistrationProtection),
        nullable=False,
        server_default=DeregistrationProtection.DISABLED.value,
    ),
    Column("protected_until", UtcDateTime),
    Column("public", Boolean, nullable=False),
)
Index("ix_image_owner", images.c.owner, images.c.region)
Index("ix_image_name", images.c.name)
Index("ix_image_source", images.c.source_image_id)
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
    id_column("image_id", key=True),
    Column("account", String(12), primary_key=True, index=True),
)

image_organization_permissions = Table(
    "image_organization_permission",
    metadata,
    id_column("image_id", key=True),
    Column("arn", String(160), primary_key=True, index=True),
)

# The searchable shadow of image.block_device_mappings, for filters and for snapshots in use.
image_devices = Table(
    "image_device",
    metadata,
    id_column("image_id", key=True),
    Column("device_name", String(32), primary_key=True),
    Column("snapshot_id", String(32), index=True),
    Column("volume_size_gib", Integer),
    Column("volume_type", String(16)),
    Column("delete_on_termination", Boolean),
)
