"""A host that fails at the wrong moment costs nobody a machine that runs, nor a disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.compute.driver import Port
from openami.domain.ids import InstanceId, VolumeId
from openami.services import Services
from openami.workflows import registry, terminate_instance
from support.calls import add_image, call, launch, launched, state
from support.failing import FailingHypervisor
from support.fakes import services

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@pytest.fixture
def host() -> FailingHypervisor:
    return FailingHypervisor()


@pytest.fixture
def svc(tmp_path: Path, host: FailingHypervisor) -> Iterator[Services]:
    made = services(tmp_path, compute=host)
    add_image(made)
    yield made
    made.catalog.close()


def open_ssh(svc: Services) -> None:
    call(svc, "AuthorizeSecurityGroupIngress", GroupName="default", IpPermissions=[SSH])


def close_ssh(svc: Services) -> None:
    call(svc, "RevokeSecurityGroupIngress", GroupName="default", IpPermissions=[SSH])


def has_ssh(host: FailingHypervisor, instance_id: str) -> bool:
    return any(rule.from_port == 22 for rule in host.ports[InstanceId(instance_id)].ingress)


def test_a_firewall_that_fails_after_the_start_leaves_the_machine_and_its_disk(
    svc: Services, host: FailingHypervisor
) -> None:
    def a_rule_comes_meanwhile(instance_id: InstanceId) -> None:
        host.firewall_fails = {instance_id}
        open_ssh(svc)

    host.starting = a_rule_comes_meanwhile
    made = launched(svc)
    assert state(svc, made) == "running"
    assert made in host.machines
    assert len(list(svc.volumes.list())) == 1
    host.firewall_fails = set()
    registry.sweep(svc)
    assert has_ssh(host, made), "the sweep does it"


def test_what_runs_is_not_released(svc: Services, host: FailingHypervisor) -> None:
    made = launched(svc)
    terminate_instance.release(svc, InstanceId(made))
    assert state(svc, made) == "running"
    assert made in host.machines
    assert len(list(svc.volumes.list())) == 1


def test_a_rule_is_revoked_everywhere_though_one_firewall_fails(
    svc: Services, host: FailingHypervisor
) -> None:
    open_ssh(svc)
    bad, good = sorted([launched(svc), launched(svc)])
    host.firewall_fails = {bad}
    close_ssh(svc)
    assert has_ssh(host, bad)
    assert not has_ssh(host, good)
    registry.sweep(svc)
    assert has_ssh(host, bad)
    host.firewall_fails = set()
    registry.sweep(svc)
    assert not has_ssh(host, bad)
    host.log.clear()
    registry.sweep(svc)
    assert host.log == [], "once is enough"


def test_whoever_is_launched_is_let_in_by_all_its_peers_whatever_kept_us_from_one(
    svc: Services, host: FailingHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = [launched(svc), launched(svc)]

    def torn(_port: Port) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(host, "update_port", torn)
        address = f"{host.ports[InstanceId(launched(svc))].private_ip}/32"
    registry.sweep(svc)
    for peer in peers:
        assert address in {s for rule in host.ports[InstanceId(peer)].ingress for s in rule.sources}


def test_the_address_of_the_terminated_leaves_the_other_firewalls_also_after_a_failure(
    svc: Services, host: FailingHypervisor
) -> None:
    kept, gone = launched(svc), launched(svc)
    address = f"{host.ports[InstanceId(gone)].private_ip}/32"
    host.firewall_fails = {kept}
    call(svc, "TerminateInstances", InstanceIds=[gone])
    assert state(svc, gone) == "terminated"
    host.firewall_fails = set()
    registry.sweep(svc)
    allowed = {each for rule in host.ports[InstanceId(kept)].ingress for each in rule.sources}
    assert address not in allowed


def test_a_crash_in_the_release_of_one_failed_instance_costs_the_others_nothing(
    svc: Services, host: FailingHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.refuses = {1}
    deleted: list[VolumeId] = []
    real = svc.volumes.delete

    def torn_once(volume_id: VolumeId) -> None:
        real(volume_id)
        deleted.append(volume_id)
        if len(deleted) == 1:
            raise OSError(5, "the disk coughs")

    monkeypatch.setattr(svc.volumes, "delete", torn_once)
    bad, good = (each["InstanceId"] for each in launch(svc, MinCount=2, MaxCount=2)["Instances"])
    registry.sweep(svc)
    assert state(svc, bad) == "terminated"
    assert state(svc, good) == "running"


def test_an_instance_whose_volume_vanished_fails_alone(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[VolumeId] = []
    real = svc.volumes.create

    def vanishing(volume_id: VolumeId, *what: Any) -> None:
        real(volume_id, *what)
        made.append(volume_id)
        if len(made) == 1:
            svc.volumes.delete(volume_id)

    monkeypatch.setattr(svc.volumes, "create", vanishing)
    bad, good = (each["InstanceId"] for each in launch(svc, MinCount=2, MaxCount=2)["Instances"])
    assert state(svc, good) == "running"
    assert state(svc, bad) == "terminated"
