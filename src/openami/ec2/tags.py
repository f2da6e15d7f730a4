"""CreateTags, DeleteTags, DescribeTags."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import tags as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue, MissingParameter
from openami.domain.tag import checked_tags, is_reserved
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, one_more, page, token_after
from openami.services import Services

RESOURCES_MAX: Final = 1000


def create_tags(svc: Services, caller: Caller, request: Request) -> Result:
    pairs = [(tag.get("Key", ""), tag.get("Value", "")) for tag in request.get("Tags", ())]
    if not pairs:
        raise MissingParameter("tagSet")
    actions.create_tags(svc, caller, _resources(request), checked_tags(pairs))
    return {}


def _resources(request: Request) -> Sequence[str]:
    found = list(dict.fromkeys(request.get("Resources", ())))
    if not found:
        raise MissingParameter("resourceIdSet")
    if len(found) > RESOURCES_MAX:
        raise InvalidParameterValue(f"At most {RESOURCES_MAX} resources may be tagged at once")
    return found


def delete_tags(svc: Services, caller: Caller, request: Request) -> Result:
    keys: dict[str, str | None] | None = None
    if request.get("Tags"):
        keys = {tag.get("Key", ""): tag.get("Value") for tag in request["Tags"]}
        for key in filter(is_reserved, keys):
            raise InvalidParameterValue(
                f"Tag keys starting with 'aws:' are reserved for internal use: {key}"
            )
    actions.delete_tags(svc, caller, _resources(request), keys)
    return {}


def describe_tags(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000)
    found = actions.describe_tags(svc, caller, filters(request), one_more(asked))
    shown, token = found, {}
    if asked.limit is not None and len(found) > asked.limit:
        shown = found[: asked.limit]
        token = {"NextToken": token_after(f"{shown[-1].resource_id} {shown[-1].key}")}
    return {"Tags": [_answer(tagged) for tagged in shown], **token}


def _answer(tagged: actions.Tagged) -> dict[str, Any]:
    return {
        "ResourceId": tagged.resource_id,
        "ResourceType": tagged.resource_type,
        "Key": tagged.key,
        "Value": tagged.value,
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateTags": operation(create_tags, "Resources", "Tags"),
    "DeleteTags": operation(delete_tags, "Resources", "Tags"),
    "DescribeTags": operation(describe_tags, "Filters", "MaxResults", "NextToken"),
}
