"""What the metadata service tells a guest about itself."""

from collections.abc import Sequence

from openami.catalog import instances, key_pairs, security_groups, tags, volumes, vpcs
from openami.catalog.catalog import Transaction
from openami.domain.ids import InstanceId, SecurityGroupId
from openami.domain.instance import Instance, InstanceState
from openami.domain.metadata import (
    HttpTokens,
    Metadata,
    MetadataOptions,
    PublicKey,
    SecurityGroupName,
    Switch,
)
from openami.domain.volume import Volume
from openami.domain.zone import zone_id
from openami.services import Services


def metadata_of(svc: Services, instance_id: InstanceId) -> Metadata | None:
    """The instance as its guest reads it now; None for one that is gone."""
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.state is InstanceState.TERMINATED:
            return None
        names = security_groups.names_of(tx, instance.security_group_ids)
        return Metadata(
            instance_id=instance.id,
            image_id=instance.image_id,
            instance_type=instance.instance_type,
            architecture=instance.architecture,
            reservation_id=instance.reservation_id,
            account=instance.owner,
            region=instance.region,
            availability_zone=instance.availability_zone,
            availability_zone_id=zone_id(instance.availability_zone),
            pending_time=instance.launched_at,
            hostname=instance.private_dns_name,
            mac=instance.mac,
            private_ip=instance.private_ip,
            network_interface_id=instance.network_interface_id,
            subnet_id=instance.subnet_id,
            subnet_cidr=vpcs.fetch_any_subnet(tx, instance.subnet_id).cidr,
            vpc_id=instance.vpc_id,
            vpc_cidr=vpcs.fetch_any(tx, instance.vpc_id).cidr,
            ami_launch_index=instance.launch_index,
            public_ip=instance.public_ip,
            security_groups=tuple(
                SecurityGroupName(group_id=SecurityGroupId(group_id), name=names[group_id])
                for group_id in instance.security_group_ids
                if group_id in names
            ),
            public_keys=_public_keys(tx, instance),
            user_data=instance.user_data,
            block_devices=_block_devices(instance, volumes.of_instance(tx, instance.id)),
            tags=tags.of_one(tx, instance.owner, instance.id),
            options=_options(instance),
        )


def _public_keys(tx: Transaction, instance: Instance) -> tuple[PublicKey, ...]:
    if instance.key_name is None:
        return ()
    pair = key_pairs.find(tx, instance.owner, instance.region, instance.key_name)
    if pair is None:
        return ()
    return (PublicKey(name=pair.name, openssh_text=f"{pair.public_key} {pair.name}"),)


def _block_devices(instance: Instance, attached: Sequence[Volume]) -> dict[str, str]:
    """Virtual names as IMDS has them.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
    """
    others = [
        volume.attachment.device_name
        for volume in attached
        if volume.attachment is not None
        and volume.attachment.device_name != instance.root_device_name
    ]
    return {
        "ami": instance.root_device_name,
        "root": instance.root_device_name,
        **{f"ebs{number}": name for number, name in enumerate(others, start=1)},
        **{disk.virtual_name: disk.device_name for disk in instance.ephemeral_disks},
    }


def _options(instance: Instance) -> MetadataOptions:
    options = instance.metadata_options
    return MetadataOptions(
        http_tokens=HttpTokens(options.http_tokens),
        http_endpoint=Switch(options.http_endpoint),
        http_put_response_hop_limit=options.http_put_response_hop_limit,
        instance_metadata_tags=Switch(options.instance_metadata_tags),
    )
