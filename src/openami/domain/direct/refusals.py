"""What the EBS direct APIs refuse, under the codes and reasons of their model.

https://docs.aws.amazon.com/ebs/latest/APIReference/API_ListChangedBlocks.html#API_ListChangedBlocks_Errors
"""

from typing import Final

from openami.domain.errors import EC2Error
from openami.domain.ids import SnapshotId


def invalid(reason: str, sentence: str) -> EC2Error:
    return EC2Error.of("ValidationException", sentence, Reason=reason)


def no_such_snapshot(snapshot_id: SnapshotId) -> EC2Error:
    sentence = f"The snapshot '{snapshot_id}' does not exist."
    return EC2Error.of("ResourceNotFoundException", sentence, 404, Reason="SNAPSHOT_NOT_FOUND")


def not_yours(snapshot_id: SnapshotId) -> EC2Error:
    """Of a snapshot that the caller sees."""
    sentence = f"You do not have sufficient access to the snapshot '{snapshot_id}'."
    return EC2Error.of("AccessDeniedException", sentence, 403, Reason="UNAUTHORIZED_ACCOUNT")


def conflict(sentence: str) -> EC2Error:
    return EC2Error.of("ConflictException", sentence, 409)


STORE_IS_SLOW: Final = "The store of the blocks cannot be reached soon enough."


def throttled(sentence: str = STORE_IS_SLOW) -> EC2Error:
    """To be asked again later."""
    return EC2Error.of("RequestThrottledException", sentence, Reason="DEPENDENCY_REQUEST_THROTTLED")


def internal(sentence: str) -> EC2Error:
    return EC2Error.of("InternalServerException", sentence, 500)


def full() -> EC2Error:
    sentence = "There is no room left in the store of the blocks."
    return EC2Error.of(
        "ServiceQuotaExceededException", sentence, 402, Reason="DEPENDENCY_SERVICE_QUOTA_EXCEEDED"
    )
