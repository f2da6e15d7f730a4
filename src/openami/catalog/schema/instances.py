"""Instances and the security groups they are in."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, text

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.instance import InstanceState

instances = Table(
    "instance",
    metadata,
    id_column(key=True),
    *place(),
    Column("availability_zone", String(32), nullable=False),
    id_column("reservation_id", index=True),
    Column("launch_index", Integer, nullable=False),
    id_column("image_id", index=True),
    Column("instance_type", String(32), nullable=False),
    Column("state", EnumText(InstanceState), nullable=False, index=True),
    Column("launched_at", UtcDateTime, nullable=False),
    Column("first_launched_at", UtcDateTime, nullable=False),
    Column("architecture", String(16), nullable=False),
    Column("root_device_name", String(32), nullable=False),
    id_column("vpc_id"),
    id_column("subnet_id"),
    id_column("network_interface_id", index=True),
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
    Column("core_count", Integer),
    Column("threads_per_core", Integer),
    Column("auto_recovery", String(16), nullable=False, server_default="default"),
    Column("reboot_migration", String(16), nullable=False, server_default="default"),
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
    id_column("instance_id", key=True),
    id_column("group_id", key=True, index=True),
)
