"""What is in the Recycle Bin, and its rules: an account's own, whatever was shared before.

The rules' service knows no dry run: what a row uses up, no other row names.
"""

from typing import Any, Final

from support.access.row import MAY, SEES, Access, own

_UNKNOWN: Final = {
    "Image": "InvalidAMIID.NotFound",
    "Snapshot": "InvalidSnapshot.NotFound",
    "Volume": "InvalidVolume.NotFound",
}


def _of(noun: str) -> tuple[Access, Access]:
    code, name = _UNKNOWN[noun], f"{{binned_{noun.lower()}}}"
    listing: dict[str, Any] = {f"{noun}Ids": [name]}
    restoration: dict[str, Any] = {f"{noun}Id": name}
    return (
        own(f"List{noun}sInRecycleBin", code, SEES, **listing),
        own(f"Restore{noun}FromRecycleBin", code, **restoration),
    )


def _rule(operation: str, owner: str = MAY, shows: str = "", **request: Any) -> Access:
    return Access(
        service="rbin",
        operation=operation,
        request=request,
        stranger="ResourceNotFoundException",
        reader="ResourceNotFoundException",
        owner=owner,
        shows=shows,
    )


DELAY: Final = {"UnlockDelay": {"UnlockDelayValue": 7, "UnlockDelayUnit": "DAYS"}}

ROWS: Final[tuple[Access, ...]] = (
    *(row for noun in _UNKNOWN for row in _of(noun)),
    _rule("GetRule", SEES, Identifier="{bin_rule}"),
    _rule("UpdateRule", SEES, Identifier="{bin_rule}", Description="another"),
    _rule("LockRule", SEES, Identifier="{open_rule}", LockConfiguration=DELAY),
    _rule("UnlockRule", SEES, Identifier="{locked_rule}"),
    _rule("DeleteRule", Identifier="{spare_rule}"),
    _rule("TagResource", ResourceArn="{rule_arn}", Tags=[{"Key": "new", "Value": "1"}]),
    _rule("UntagResource", ResourceArn="{rule_arn}", TagKeys=["new"]),
    _rule("ListTagsForResource", SEES, shows="the owner", ResourceArn="{rule_arn}"),
)
