"""What a machine shows: its serial console and its screen."""

from openami.catalog import instances
from openami.compute.driver import MachineFailed
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, IncorrectInstanceState
from openami.domain.ids import InstanceId
from openami.domain.instance import InstanceState
from openami.services import Services
from openami.workflows import terminate_instance


def get_console_output(svc: Services, caller: Caller, instance_id: InstanceId) -> bytes:
    """The last 64 KiB of the serial console, of a terminated instance too while it is shown."""
    with svc.catalog.read() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
    if instance.state is InstanceState.TERMINATED:
        return terminate_instance.kept_console(svc, instance_id)
    return svc.compute.console_output(instance_id)


def get_console_screenshot(svc: Services, caller: Caller, instance_id: InstanceId) -> bytes:
    """The screen as JPEG. Raises IncorrectInstanceState unless the instance runs."""
    with svc.catalog.read() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
    if instance.state is not InstanceState.RUNNING:
        raise IncorrectInstanceState(instance_id, instance.state, "GetConsoleScreenshot")
    try:
        return svc.compute.console_screenshot(instance_id)
    except MachineFailed as failure:
        raise EC2Error.of(
            "Unavailable", f"The screen of '{instance_id}' cannot be read now.", status=503
        ) from failure
