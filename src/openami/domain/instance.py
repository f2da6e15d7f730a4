"""An instance: a machine as EC2 knows it, its states and what moves it between them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.ids import (
    AccountId,
    ImageId,
    InstanceId,
    NetworkInterfaceId,
    Region,
    ReservationId,
    SecurityGroupId,
    SubnetId,
    VpcId,
)
from openami.domain.lifecycle import advance
from openami.domain.state_reason import StateReason


class InstanceState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"


STATE_CODE: Final[Mapping[InstanceState, int]] = {
    InstanceState.PENDING: 0,
    InstanceState.RUNNING: 16,
    InstanceState.SHUTTING_DOWN: 32,
    InstanceState.TERMINATED: 48,
    InstanceState.STOPPING: 64,
    InstanceState.STOPPED: 80,
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html"""


class InstanceEvent(StrEnum):
    START = "StartInstances"
    STARTED = "the start of its machine"
    LAUNCH_FAILED = "the failure of its launch"
    START_FAILED = "the failure of its start"
    STOP = "StopInstances"
    STOPPED = "the end of its machine"
    TERMINATE = "TerminateInstances"
    TERMINATED = "the removal of its machine"


S, E = InstanceState, InstanceEvent

TRANSITIONS: Final[Mapping[tuple[InstanceState, InstanceEvent], InstanceState]] = {
    (S.PENDING, E.STARTED): S.RUNNING,
    (S.PENDING, E.LAUNCH_FAILED): S.SHUTTING_DOWN,
    (S.PENDING, E.START_FAILED): S.STOPPED,
    (S.STOPPED, E.START): S.PENDING,
    (S.RUNNING, E.STOP): S.STOPPING,
    (S.STOPPING, E.STOPPED): S.STOPPED,
    (S.PENDING, E.TERMINATE): S.SHUTTING_DOWN,
    (S.RUNNING, E.TERMINATE): S.SHUTTING_DOWN,
    (S.STOPPING, E.TERMINATE): S.SHUTTING_DOWN,
    (S.STOPPED, E.TERMINATE): S.SHUTTING_DOWN,
    (S.SHUTTING_DOWN, E.TERMINATED): S.TERMINATED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceMetadataOptionsRequest.html"""

    http_tokens: str = "optional"
    http_endpoint: str = "enabled"
    http_put_response_hop_limit: int = 1
    instance_metadata_tags: str = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class EphemeralDisk:
    """An instance-store disk: blank at every start, gone with the stop."""

    device_name: str
    virtual_name: str
    size_gib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance. Its EBS volumes are in the catalog's volumes, by their attachment.

    `transitions` counts the moves between states: it makes the ids of the workflows that
    carry them out. `port_number` is its place on the host while it is not terminated.
    `rebooting_for` says for whom its machine is restarted now ("RebootInstances", or the id
    of the image that is made of it): the end of the machine is then no end of the instance.
    `core_count` and `threads_per_core` are None where the type's processors are all there.
    """

    id: InstanceId
    region: Region
    availability_zone: str
    owner: AccountId
    reservation_id: ReservationId
    launch_index: int
    image_id: ImageId
    instance_type: str
    state: InstanceState
    launched_at: datetime
    first_launched_at: datetime
    architecture: str
    root_device_name: str
    vpc_id: VpcId
    subnet_id: SubnetId
    network_interface_id: NetworkInterfaceId
    mac: str
    private_ip: str
    security_group_ids: tuple[SecurityGroupId, ...]
    driver: str
    boot_mode: str | None = None
    current_boot_mode: str = "legacy-bios"
    public_ip: str | None = None
    port_number: int | None = None
    key_name: str | None = None
    user_data: bytes | None = None
    client_token: str | None = None
    shutdown_behavior: str = "stop"
    disable_api_termination: bool = False
    disable_api_stop: bool = False
    ebs_optimized: bool = False
    monitoring: bool = False
    source_dest_check: bool = True
    ena_support: bool = False
    associates_public_ip: bool = True
    cpu_credits: str | None = None
    core_count: int | None = None
    threads_per_core: int | None = None
    auto_recovery: str = "default"
    reboot_migration: str = "default"
    rebooting_for: str | None = None
    metadata_options: MetadataOptions = MetadataOptions()
    ephemeral_disks: tuple[EphemeralDisk, ...] = ()
    state_reason: StateReason | None = None
    state_transition_reason: str = ""
    transitions: int = 0
    terminated_at: datetime | None = None

    def after(
        self, event: InstanceEvent, reason: StateReason | None = None, transition_reason: str = ""
    ) -> "Instance":
        return replace(
            self,
            state=advance(TRANSITIONS, self.id, self.state, event),
            state_reason=reason,
            state_transition_reason=transition_reason,
            transitions=self.transitions + 1,
        )

    @property
    def private_dns_name(self) -> str:
        return private_dns_name(self.private_ip, self.region)


def private_dns_name(private_ip: str, region: Region) -> str:
    """https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html: the IP-based name."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{private_ip.replace('.', '-')}.{domain}"
