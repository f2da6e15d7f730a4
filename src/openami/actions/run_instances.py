"""RunInstances: one reservation, all of it or at least MinCount, decided in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from openami.actions.network import ensure_default
from openami.actions.quotas import Quota, check_room
from openami.actions.snapshot.fast_restores import fast_if_wanted
from openami.catalog import (
    idempotency,
    images,
    instance_settings,
    instances,
    key_pairs,
    security_groups,
    snapshots,
    tags,
    volumes,
)
from openami.catalog.catalog import Transaction
from openami.domain.block_device import EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    SubnetNotFound,
)
from openami.domain.ids import (
    InstanceId,
    NetworkInterfaceId,
    ReservationId,
    SecurityGroupId,
    VolumeId,
    VpcId,
)
from openami.domain.image import Image
from openami.domain.instance import EphemeralDisk, Instance, InstanceState, MetadataOptions
from openami.domain.instance_type import InstanceType, known_type
from openami.domain.instance_types.cpu_options import checked_cpu_options
from openami.domain.launch import (
    Launch,
    Place,
    boot_mode_of,
    check_bootable,
    check_counts,
    check_instance_type,
    devices_of,
    ephemeral_disks_of,
    fitting_count,
    metadata_options_of,
    volume_size_gib,
)
from openami.domain.network import (
    Subnet,
    Vpc,
    checked_private_ip,
    mac_of,
    next_number,
    next_private_ip,
    next_public_ip,
)
from openami.domain.snapshot import Snapshot
from openami.domain.volume import Attachment, AttachmentState, Volume, VolumeState
from openami.domain.zone import checked_zone
from openami.services import Services
from openami.workflows import launch as launch_workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """A volume that each instance of the launch gets one of."""

    device_name: str
    size_gib: int
    root: str | None
    ebs: EbsDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything decided before the first instance is made."""

    launch: Launch
    image: Image
    kind: InstanceType
    count: int
    vpc: Vpc
    subnet: Subnet
    group_ids: tuple[SecurityGroupId, ...]
    volumes: tuple[VolumePlan, ...]
    ephemeral_disks: tuple[EphemeralDisk, ...]
    metadata_options: MetadataOptions
    reservation_id: ReservationId
    now: datetime


def run_instances(svc: Services, caller: Caller, launch: Launch) -> list[InstanceId]:
    """Commit the instances as pending and begin their launch; their ids.

    The same client token again gives the same instances. Raises what EC2 raises: for the
    image, the type, the key, the network, the devices, and InsufficientInstanceCapacity.
    """
    check_counts(launch)
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, launch.token)
        if earlier is not None:
            return _launched_before(tx, ReservationId(earlier))
        plan = _plan(svc, tx, caller, launch)
        _check_quotas(svc, tx, caller, plan)
        made = [_make(svc, tx, caller, plan, index) for index in range(plan.count)]
        images.launched(tx, plan.image.id, plan.now)
        idempotency.remember(tx, caller, launch.token, plan.reservation_id, plan.now)
    job_id = launch_workflow.start(svc, plan.reservation_id)
    svc.jobs.wait(job_id, svc.settings.settle_timeout_s)
    return made


def _check_quotas(svc: Services, tx: Transaction, caller: Caller, plan: Plan) -> None:
    gib = sum(each.ebs.volume_size_gib or 0 for each in plan.volumes)
    for quota, more in (
        (Quota.INSTANCES, plan.count),
        (Quota.VCPUS, plan.count * plan.kind.vcpus),
        (Quota.STORAGE_GIB, plan.count * gib),
    ):
        check_room(svc, tx, quota, caller.account, caller.region, more)


def _launched_before(tx: Transaction, reservation_id: ReservationId) -> list[InstanceId]:
    found = instances.of_reservation(tx, reservation_id)
    if all(each.state is InstanceState.TERMINATED for each in found):
        raise EC2Error.of(
            "IdempotentInstanceTerminated",
            "The client token was used by a request whose instances have been terminated.",
        )
    return [each.id for each in found]


def _plan(svc: Services, tx: Transaction, caller: Caller, launch: Launch) -> Plan:
    now = svc.clock.now()
    image = images.fetch_launchable(tx, launch.image_id, caller.account, caller.region, now)
    kind = known_type(launch.instance_type)
    check_bootable(image, kind)
    check_instance_type(image, kind)
    if launch.cpu_credits is not None and not kind.burstable:
        raise InvalidParameterCombination(
            f"The instance type '{kind.name}' has no CPU credits: CreditSpecification is for"
            " burstable types."
        )
    if launch.cpu_options is not None:
        checked_cpu_options(launch.cpu_options, kind)
    if launch.key_name is not None:
        key_pairs.fetch_owned(tx, caller.account, caller.region, launch.key_name)
    vpc, subnets = ensure_default(svc, tx, caller)
    subnet = _subnet(launch.place, subnets, caller)
    return Plan(
        launch=launch,
        image=image,
        kind=kind,
        count=fitting_count(launch, kind, free_memory_mib(svc, tx)),
        vpc=vpc,
        subnet=subnet,
        group_ids=_groups(tx, caller, launch.place, vpc.id),
        volumes=_volumes(tx, caller, image, launch),
        ephemeral_disks=ephemeral_disks_of(image, launch.mappings, kind),
        metadata_options=_metadata_options(tx, caller, image, launch),
        reservation_id=ReservationId(svc.ids.new("r")),
        now=now,
    )


def _metadata_options(
    tx: Transaction, caller: Caller, image: Image, launch: Launch
) -> MetadataOptions:
    """Raises UnsupportedOperation if the account enforces IMDSv2 and the launch has IMDSv1."""
    settings = instance_settings.of(tx, caller.account, caller.region)
    options = metadata_options_of(image, settings.metadata, launch.metadata)
    settings.check(options, "launch instances")
    return options


def free_memory_mib(svc: Services, tx: Transaction) -> int | None:
    """What the host has left for machines; None if it has no limit."""
    capacity_mib = svc.compute.capacity_mib()
    if capacity_mib is None:
        return None
    used_mib = sum(
        known_type(name).memory_mib * count for name, count in instances.live_types(tx).items()
    )
    return int(capacity_mib * svc.settings.memory_overcommit) - used_mib


def _subnet(place: Place, subnets: Sequence[Subnet], caller: Caller) -> Subnet:
    zone = place.availability_zone
    if zone is not None:
        checked_zone(zone, caller.region)
    if place.subnet_id is None:
        return next(each for each in subnets if zone in (None, each.availability_zone))
    for subnet in subnets:
        if subnet.id == place.subnet_id:
            if zone not in (None, subnet.availability_zone):
                raise InvalidParameterValue(
                    f"The subnet '{subnet.id}' is in {subnet.availability_zone},"
                    f" not in the availability zone {zone}."
                )
            return subnet
    raise SubnetNotFound(place.subnet_id)


def _groups(
    tx: Transaction, caller: Caller, place: Place, vpc_id: VpcId
) -> tuple[SecurityGroupId, ...]:
    found = [
        security_groups.fetch_owned(tx, group_id, caller).id
        for group_id in place.security_group_ids
    ]
    found += [
        security_groups.fetch_named(tx, vpc_id, name).id for name in place.security_group_names
    ]
    if not found:
        found = [security_groups.fetch_named(tx, vpc_id, "default").id]
    return tuple(dict.fromkeys(found))


def _volumes(
    tx: Transaction, caller: Caller, image: Image, launch: Launch
) -> tuple[VolumePlan, ...]:
    plans: list[VolumePlan] = []
    for device_name, ebs in devices_of(image, launch.mappings).items():
        source = _source(tx, caller, image, ebs)
        size_gib = volume_size_gib(ebs, None if source is None else source.volume_size_gib)
        root = None if source is None else source.root
        plans.append(VolumePlan(device_name=device_name, size_gib=size_gib, root=root, ebs=ebs))
    return tuple(plans)


def _source(tx: Transaction, caller: Caller, image: Image, ebs: EbsDevice) -> Snapshot | None:
    """The snapshot a volume is made of. Raises SnapshotNotFound, IncorrectState."""
    if ebs.snapshot_id is None:
        return None
    lent = {each.ebs.snapshot_id for each in image.block_device_mappings if each.ebs is not None}
    # Who may launch an image may use its snapshots: those that its owner may use.
    user = image.owner if ebs.snapshot_id in lent else caller.account
    return snapshots.fetch_visible(tx, ebs.snapshot_id, user, caller.region).usable()


def _make(svc: Services, tx: Transaction, caller: Caller, plan: Plan, index: int) -> InstanceId:
    """One instance of the reservation with its volumes and tags, all pending."""
    instance = _instance(svc, tx, plan, index)
    instances.add(tx, instance)
    tagged = plan.launch.tags
    for each in plan.volumes:
        volume = fast_if_wanted(tx, _volume(svc, instance, each))
        volumes.add(tx, volume)
        _tag(tx, caller, ("volume", volume.id), tagged)
    _tag(tx, caller, ("instance", instance.id), tagged)
    _tag(tx, caller, ("network-interface", instance.network_interface_id), tagged)
    return instance.id


def _tag(
    tx: Transaction,
    caller: Caller,
    resource: tuple[str, str],
    tagged: Mapping[str, Mapping[str, str]],
) -> None:
    tags.put(tx, caller.account, caller.region, resource, tagged.get(resource[0], {}))


def _instance(svc: Services, tx: Transaction, plan: Plan, index: int) -> Instance:
    launch, image, options = plan.launch, plan.image, plan.launch.cpu_options
    interface_id = NetworkInterfaceId(svc.ids.new("eni"))
    return Instance(
        id=InstanceId(svc.ids.new("i")),
        region=plan.vpc.region,
        availability_zone=plan.subnet.availability_zone,
        owner=plan.vpc.owner,
        reservation_id=plan.reservation_id,
        launch_index=index,
        image_id=image.id,
        instance_type=plan.kind.name,
        state=InstanceState.PENDING,
        launched_at=plan.now,
        first_launched_at=plan.now,
        architecture=image.architecture,
        root_device_name=image.root_device_name,
        vpc_id=plan.vpc.id,
        subnet_id=plan.subnet.id,
        network_interface_id=interface_id,
        mac=mac_of(interface_id),
        private_ip=_private_ip(tx, launch.place, plan.subnet),
        security_group_ids=plan.group_ids,
        driver=svc.compute.kind,
        boot_mode=image.boot_mode,
        current_boot_mode=boot_mode_of(image, plan.kind),
        public_ip=new_public_ip(svc, tx) if launch.place.associate_public_ip else None,
        port_number=next_number(instances.used_port_numbers(tx)),
        key_name=launch.key_name,
        user_data=launch.user_data,
        client_token=None if launch.token is None else launch.token.token,
        shutdown_behavior=launch.shutdown_behavior,
        disable_api_termination=launch.disable_api_termination,
        disable_api_stop=launch.disable_api_stop,
        ebs_optimized=launch.ebs_optimized,
        monitoring=launch.monitoring,
        ena_support=image.ena_support,
        associates_public_ip=launch.place.associate_public_ip,
        cpu_credits=_cpu_credits(launch, plan.kind),
        core_count=None if options is None else options.core_count,
        threads_per_core=None if options is None else options.threads_per_core,
        auto_recovery=launch.auto_recovery,
        metadata_options=plan.metadata_options,
        ephemeral_disks=plan.ephemeral_disks,
    )


def _cpu_credits(launch: Launch, kind: InstanceType) -> str | None:
    """T2 is standard and later burstable types are unlimited unless the launch says.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode.html
    """
    if not kind.burstable:
        return None
    return launch.cpu_credits or ("standard" if kind.family == "t2" else "unlimited")


def _private_ip(tx: Transaction, place: Place, subnet: Subnet) -> str:
    used = instances.used_private_ips(tx, subnet.id)
    if place.private_ip is None:
        return next_private_ip(subnet, used)
    return checked_private_ip(subnet, used, place.private_ip)


def new_public_ip(svc: Services, tx: Transaction) -> str:
    return next_public_ip(svc.settings.public_ip_pool, instances.used_public_ips(tx))


def _volume(svc: Services, instance: Instance, plan: VolumePlan) -> Volume:
    ebs = plan.ebs
    return Volume(
        id=VolumeId(svc.ids.new("vol")),
        region=instance.region,
        availability_zone=instance.availability_zone,
        owner=instance.owner,
        size_gib=plan.size_gib,
        state=VolumeState.CREATING,
        created_at=instance.launched_at,
        volume_type=ebs.volume_type or "gp2",
        iops=ebs.iops,
        throughput=ebs.throughput,
        snapshot_id=ebs.snapshot_id,
        root=plan.root,
        attachment=Attachment(
            instance_id=instance.id,
            device_name=plan.device_name,
            state=AttachmentState.ATTACHING,
            attached_at=instance.launched_at,
            delete_on_termination=bool(ebs.delete_on_termination),
        ),
    )
