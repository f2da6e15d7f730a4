"""What an account settles for all its instances in a region."""

from collections.abc import Callable

from openami.catalog import instance_settings
from openami.domain.caller import Caller
from openami.domain.instance_settings import InstanceSettings
from openami.services import Services


def get_settings(svc: Services, caller: Caller) -> InstanceSettings:
    with svc.catalog.read() as tx:
        return instance_settings.of(tx, caller.account, caller.region)


def change_settings(
    svc: Services, caller: Caller, changed: Callable[[InstanceSettings], InstanceSettings]
) -> InstanceSettings:
    """The settings as they are from now on. Raises what `changed` raises."""
    with svc.catalog.begin() as tx:
        settings = changed(instance_settings.of(tx, caller.account, caller.region))
        instance_settings.put(tx, settings)
    return settings
