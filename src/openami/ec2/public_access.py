"""Enable, Disable and Get…BlockPublicAccess, of images and of snapshots."""

from collections.abc import Callable, Mapping
from typing import Final

from openami.actions import public_access as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.domain.public_access import PublicAccess, Shareable
from openami.ec2.operation import Operation, Request, Result, operation
from openami.services import Services

_IMAGE_STATE: Final = "ImageBlockPublicAccessState"
_BLOCKS: Final = {
    Shareable.IMAGE: (PublicAccess.BLOCK_NEW,),
    Shareable.SNAPSHOT: (PublicAccess.BLOCK_ALL, PublicAccess.BLOCK_NEW),
}

_Handler = Callable[[Services, Caller, Request], Result]


def _enable(kind: Shareable, member: str) -> _Handler:
    def handler(svc: Services, caller: Caller, request: Request) -> Result:
        wanted = request[member]
        if wanted not in _BLOCKS[kind]:
            raise InvalidParameterValue(
                f"Value ({wanted}) for parameter {member} is invalid."
                f" It must be one of {', '.join(_BLOCKS[kind])}."
            )
        return {member: actions.set_public_access(svc, caller, kind, PublicAccess(wanted))}

    return handler


def _disable(kind: Shareable, member: str) -> _Handler:
    def handler(svc: Services, caller: Caller, _request: Request) -> Result:
        return {member: actions.set_public_access(svc, caller, kind, PublicAccess.UNBLOCKED)}

    return handler


def _get(kind: Shareable, member: str) -> _Handler:
    def handler(svc: Services, caller: Caller, _request: Request) -> Result:
        access = actions.get_public_access(svc, caller, kind)
        return {member: access, "ManagedBy": "account"}

    return handler


OPERATIONS: Final[Mapping[str, Operation]] = {
    "EnableImageBlockPublicAccess": operation(_enable(Shareable.IMAGE, _IMAGE_STATE), _IMAGE_STATE),
    "DisableImageBlockPublicAccess": operation(_disable(Shareable.IMAGE, _IMAGE_STATE)),
    "GetImageBlockPublicAccessState": operation(_get(Shareable.IMAGE, _IMAGE_STATE)),
    "EnableSnapshotBlockPublicAccess": operation(_enable(Shareable.SNAPSHOT, "State"), "State"),
    "DisableSnapshotBlockPublicAccess": operation(_disable(Shareable.SNAPSHOT, "State")),
    "GetSnapshotBlockPublicAccessState": operation(_get(Shareable.SNAPSHOT, "State")),
}
