"""Whether an account may share images and snapshots with everybody, per region."""

from enum import StrEnum
from typing import Final

from openami.domain.errors import OperationNotPermitted


class Shareable(StrEnum):
    """What can be shared with the group "all"."""

    IMAGE = "image"
    SNAPSHOT = "snapshot"


class PublicAccess(StrEnum):
    """The modes of EC2's block public access. Only snapshots have BLOCK_ALL.

    BLOCK_ALL also hides what was shared before, without forgetting that it was.
    """

    UNBLOCKED = "unblocked"
    BLOCK_NEW = "block-new-sharing"
    BLOCK_ALL = "block-all-sharing"


_WORDS: Final = {
    Shareable.IMAGE: ("AMIs", "DisableImageBlockPublicAccess"),
    Shareable.SNAPSHOT: ("snapshots", "DisableSnapshotBlockPublicAccess"),
}


def check_public_sharing(access: PublicAccess, kind: Shareable) -> None:
    """Raises OperationNotPermitted unless something new may be shared with everybody."""
    if access is PublicAccess.UNBLOCKED:
        return
    nouns, operation = _WORDS[kind]
    raise OperationNotPermitted(
        f"You can’t publicly share this {kind} because block public access for {nouns} is"  # noqa: RUF001
        f" enabled for this account. To publicly share the {kind}, you must call the {operation}"
        " API."
    )
