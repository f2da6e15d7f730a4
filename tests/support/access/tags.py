"""Tags: an account's own, also those it gives to what is shared with it."""

from typing import Any, Final

from support.access.row import MAY, NOTHING, SEES, Access, own, shared

_TAG: Final[list[dict[str, Any]]] = [{"Key": "mine", "Value": "1"}]
_PRIVATE: Final = {
    "volume": "InvalidVolume.NotFound",
    "instance": "InvalidInstanceID.NotFound",
    "group": "InvalidGroup.NotFound",
    "vpc": "InvalidVpcID.NotFound",
    "key": "InvalidKeyPair.NotFound",
}

ROWS: Final[tuple[Access, ...]] = (
    *(
        own(operation, code, Resources=[f"{{{name}}}"], Tags=_TAG)
        for name, code in _PRIVATE.items()
        for operation in ("CreateTags", "DeleteTags")
    ),
    *(
        shared(operation, "InvalidAMIID.NotFound", MAY, Resources=["{image}"], Tags=_TAG)
        for operation in ("CreateTags", "DeleteTags")
    ),
    shared(
        "DescribeTags",
        *(NOTHING, NOTHING, SEES),
        Filters=[{"Name": "resource-id", "Values": ["{image}"]}],
    ),
)
