"""Lifecycle policies: an account's own, and DLM says of another's that it is not there.

The service knows no dry run: what a row uses up, no other row names.
"""

from typing import Any, Final

from support.access.row import MAY, SEES, Access


def _policy(operation: str, owner: str = MAY, shows: str = "", **request: Any) -> Access:
    return Access(
        service="dlm",
        operation=operation,
        request=request,
        stranger="ResourceNotFoundException",
        reader="ResourceNotFoundException",
        owner=owner,
        shows=shows,
    )


ROWS: Final[tuple[Access, ...]] = (
    _policy("GetLifecyclePolicy", SEES, PolicyId="{policy}"),
    _policy("GetLifecyclePolicies", SEES, PolicyIds=["{policy}"]),
    _policy("UpdateLifecyclePolicy", PolicyId="{policy}", Description="another"),
    _policy("DeleteLifecyclePolicy", PolicyId="{spare_policy}"),
    _policy("TagResource", ResourceArn="{policy_arn}", Tags={"new": "1"}),
    _policy("UntagResource", ResourceArn="{policy_arn}", TagKeys=["new"]),
    _policy("ListTagsForResource", SEES, shows="the owner", ResourceArn="{policy_arn}"),
)
