"""Every refusal a caller can read, under the name EC2 gives it.

A refusal is the caller's to fix and is part of the API; anything else that is
raised is our bug and leaves as InternalError with no detail. Codes:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html

An error that is raised in one way from several places is a class here; one that
has a single place is `EC2Error.of(code, sentence)` there.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any


class EC2Error(Exception):
    """A refusal: one EC2 error code and one sentence for the caller."""

    code: str = "InternalError"
    status: int = 400
    details: Mapping[str, Any] = MappingProxyType({})
    """Further members of the error's structure, in the services whose errors have them: Reason."""

    @staticmethod
    def of(code: str, message: str, status: int = 400, **details: Any) -> "EC2Error":
        refusal = EC2Error(message)
        refusal.code, refusal.status, refusal.details = code, status, details
        return refusal


class InvalidParameterValue(EC2Error):
    code = "InvalidParameterValue"


class MissingParameter(EC2Error):
    code = "MissingParameter"

    def __init__(self, parameter: str) -> None:
        super().__init__(f"The request must contain the parameter {parameter}")


class InvalidParameterCombination(EC2Error):
    code = "InvalidParameterCombination"


class InvalidParameterDependency(EC2Error):
    code = "InvalidParameterDependency"


class InvalidRequest(EC2Error):
    code = "InvalidRequest"


class UnsupportedOperation(EC2Error):
    code = "UnsupportedOperation"


class OperationNotPermitted(EC2Error):
    code = "OperationNotPermitted"


class IncorrectState(EC2Error):
    code = "IncorrectState"

    def __init__(self, resource: str, state: str, event: str) -> None:
        super().__init__(f"{resource} is '{state}'; {event} does not apply to it.")


class IncorrectInstanceState(EC2Error):
    code = "IncorrectInstanceState"

    def __init__(self, instance_id: str, state: str, event: str) -> None:
        super().__init__(
            f"The instance '{instance_id}' is not in a state from which {event} is possible"
            f" (it is '{state}')."
        )


class MalformedId(EC2Error):
    def __init__(self, code: str, prefix: str, text: str) -> None:
        super().__init__(f'Invalid id: "{text}" (expecting "{prefix}-...")')
        self.code = code


class AuthFailure(EC2Error):
    """The caller may see the resource but not do this to it."""

    code = "AuthFailure"
    status = 403

    def __init__(self, resource: str) -> None:
        super().__init__(f"Not authorized for {resource}")


def _listed(noun: str, ids: Sequence[str], bracketed: bool) -> str:
    names = ", ".join(ids)
    quoted = f"'[{names}]'" if bracketed else f"'{names}'"
    if len(ids) == 1:
        return f"The {noun} {quoted} does not exist"
    return f"The {noun}s {quoted} do not exist"


class ImageNotFound(EC2Error):
    code = "InvalidAMIID.NotFound"

    def __init__(self, *image_ids: str) -> None:
        super().__init__(_listed("image id", image_ids, bracketed=True))


class ImageUnavailable(EC2Error):
    code = "InvalidAMIID.Unavailable"

    def __init__(self, image_id: str) -> None:
        super().__init__(f"The image id '[{image_id}]' is no longer available")


class SnapshotNotFound(EC2Error):
    code = "InvalidSnapshot.NotFound"

    def __init__(self, *snapshot_ids: str) -> None:
        super().__init__(_listed("snapshot", snapshot_ids, bracketed=False) + ".")


class VolumeNotFound(EC2Error):
    code = "InvalidVolume.NotFound"

    def __init__(self, *volume_ids: str) -> None:
        super().__init__(_listed("volume", volume_ids, bracketed=False) + ".")


class InstanceNotFound(EC2Error):
    code = "InvalidInstanceID.NotFound"

    def __init__(self, *instance_ids: str) -> None:
        super().__init__(_listed("instance ID", instance_ids, bracketed=False))


class KeyPairNotFound(EC2Error):
    code = "InvalidKeyPair.NotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"The key pair '{name}' does not exist")


class SecurityGroupNotFound(EC2Error):
    code = "InvalidGroup.NotFound"

    def __init__(self, group: str) -> None:
        super().__init__(f"The security group '{group}' does not exist")


class SubnetNotFound(EC2Error):
    code = "InvalidSubnetID.NotFound"

    def __init__(self, subnet_id: str) -> None:
        super().__init__(f"The subnet ID '{subnet_id}' does not exist")


class VpcNotFound(EC2Error):
    code = "InvalidVpcID.NotFound"

    def __init__(self, vpc_id: str) -> None:
        super().__init__(f"The vpc ID '{vpc_id}' does not exist")


class InvalidBlockDeviceMapping(EC2Error):
    code = "InvalidBlockDeviceMapping"


class DryRunOperation(EC2Error):
    """Not a failure: how EC2 says that the real call would have been allowed."""

    code = "DryRunOperation"
    status = 412

    def __init__(self) -> None:
        super().__init__("Request would have succeeded, but DryRun flag is set.")


class InvalidAction(EC2Error):
    code = "InvalidAction"

    def __init__(self, action: str) -> None:
        super().__init__(f"The action {action} is not valid for this web service.")
