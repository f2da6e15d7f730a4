"""The tables, a file per noun. Every query lives beside its noun; no other package writes SQL.

A table's columns carry the names of its noun's fields, so `Noun(**row._mapping)` is the
whole mapping. What a filter searches is a column or a child table, never JSON.
"""

from openami.catalog.schema.accounts import access_keys, accounts
from openami.catalog.schema.allowed_images import allowed_images_settings
from openami.catalog.schema.base import metadata
from openami.catalog.schema.boot_profiles import boot_profiles
from openami.catalog.schema.buckets import buckets
from openami.catalog.schema.collection import (
    collection_awaited,
    collection_rounds,
    condemned,
)
from openami.catalog.schema.direct_access import (
    block_token_key,
    direct_blocks,
    direct_snapshots,
)
from openami.catalog.schema.event_windows import event_windows
from openami.catalog.schema.export_tasks import export_tasks
from openami.catalog.schema.fast_restores import fast_restores
from openami.catalog.schema.idempotency import idempotency_tokens
from openami.catalog.schema.identity import catalog_identity
from openami.catalog.schema.image_facts import (
    image_instance_types,
    image_watermarks,
    past_images,
)
from openami.catalog.schema.image_usage_reports import image_usage_entries, image_usage_reports
from openami.catalog.schema.images import (
    image_devices,
    image_launch_permissions,
    image_organization_permissions,
    images,
)
from openami.catalog.schema.import_tasks import import_tasks
from openami.catalog.schema.ingests import ingest_leases
from openami.catalog.schema.instance_settings import instance_settings
from openami.catalog.schema.instances import instance_security_groups, instances
from openami.catalog.schema.key_pairs import key_pairs
from openami.catalog.schema.launch_templates import launch_template_versions, launch_templates
from openami.catalog.schema.left_uploads import left_uploads
from openami.catalog.schema.lifecycle_policies import lifecycle_policies, lifecycle_runs
from openami.catalog.schema.losses import known_losses
from openami.catalog.schema.network import subnets, vpcs
from openami.catalog.schema.organizations import (
    organization_members,
    organization_memberships,
    organizational_units,
    organizations,
)
from openami.catalog.schema.parameters import (
    parameter_labels,
    parameter_versions,
    parameters,
)
from openami.catalog.schema.public_access import public_access_blocks
from openami.catalog.schema.recycle_bin import binned, retention_rules
from openami.catalog.schema.root_replacements import replace_root_volume_tasks
from openami.catalog.schema.security_groups import security_group_rules, security_groups
from openami.catalog.schema.snapshot_copies import snapshot_copies
from openami.catalog.schema.snapshot_locks import snapshot_locks
from openami.catalog.schema.snapshot_tiers import tierings
from openami.catalog.schema.snapshots import snapshot_volume_permissions, snapshots
from openami.catalog.schema.stored_images import image_restores, store_image_tasks
from openami.catalog.schema.tags import tags
from openami.catalog.schema.tenures import tenures
from openami.catalog.schema.upload_checksums import upload_checksums
from openami.catalog.schema.volume_modifications import volume_modifications
from openami.catalog.schema.volumes import attachments, volumes

__all__ = [
    "access_keys",
    "accounts",
    "allowed_images_settings",
    "attachments",
    "binned",
    "block_token_key",
    "boot_profiles",
    "buckets",
    "catalog_identity",
    "collection_awaited",
    "collection_rounds",
    "condemned",
    "direct_blocks",
    "direct_snapshots",
    "event_windows",
    "export_tasks",
    "fast_restores",
    "idempotency_tokens",
    "image_devices",
    "image_instance_types",
    "image_launch_permissions",
    "image_organization_permissions",
    "image_restores",
    "image_usage_entries",
    "image_usage_reports",
    "image_watermarks",
    "images",
    "import_tasks",
    "ingest_leases",
    "instance_security_groups",
    "instance_settings",
    "instances",
    "key_pairs",
    "known_losses",
    "launch_template_versions",
    "launch_templates",
    "left_uploads",
    "lifecycle_policies",
    "lifecycle_runs",
    "metadata",
    "organization_members",
    "organization_memberships",
    "organizational_units",
    "organizations",
    "parameter_labels",
    "parameter_versions",
    "parameters",
    "past_images",
    "public_access_blocks",
    "replace_root_volume_tasks",
    "retention_rules",
    "security_group_rules",
    "security_groups",
    "snapshot_copies",
    "snapshot_locks",
    "snapshot_volume_permissions",
    "snapshots",
    "store_image_tasks",
    "subnets",
    "tags",
    "tenures",
    "tierings",
    "upload_checksums",
    "volume_modifications",
    "volumes",
    "vpcs",
]
