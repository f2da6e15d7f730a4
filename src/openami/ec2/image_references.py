"""DescribeImageReferences: which of the caller's resources name an image."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import image_use as actions
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.ids import parse_image_id
from openami.domain.image_use import (
    EVERY_STATE,
    STATE_NAME,
    VERSION_DEPTH,
    ImageReference,
    Referrer,
    Sought,
    checked_depth,
    checked_referrer,
    checked_states,
)
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import one_more, page, paged
from openami.services import Services

IMAGES_MAX: Final = 10
DEPTH: Final = 10
"""How many versions of a launch template are looked at if nothing else is asked."""

_OPTIONS_OF: Final[Mapping[Referrer, str]] = {
    Referrer.INSTANCE: STATE_NAME,
    Referrer.TEMPLATE: VERSION_DEPTH,
}


def describe_image_references(svc: Services, caller: Caller, request: Request) -> Result:
    ids = [parse_image_id(text) for text in request["ImageIds"]]
    if not 1 <= len(ids) <= IMAGES_MAX:
        raise InvalidParameterValue(f"ImageIds names between 1 and {IMAGES_MAX} images.")
    asked = page(request, 5, 1000)
    found = actions.describe_image_references(svc, caller, ids, _sought(request), one_more(asked))
    shown, token = paged(found, asked, "place")
    return {"ImageReferences": [_answer(each) for each in shown], **token}


def _sought(request: Request) -> Sought:
    kinds = request.get("ResourceTypes", ())
    if request.get("IncludeAllResourceTypes"):
        return sought(kinds, tuple(Referrer), DEPTH, _OPTIONS_OF, every=True)
    if not kinds:
        raise MissingParameter("ResourceTypes or IncludeAllResourceTypes")
    return sought(kinds, tuple(Referrer), DEPTH, _OPTIONS_OF)


def sought(
    kinds: Sequence[Mapping[str, Any]],
    allowed: Sequence[Referrer],
    depth: int,
    options_of: Mapping[Referrer, str],
    *,
    every: bool = False,
) -> Sought:
    """The resource types of a request with their options; with `every` also those not named.

    `options_of` says which option a type has; `depth` is how many versions are looked at if
    nothing else is asked. Raises InvalidParameterValue, InvalidParameterCombination.
    """
    named: dict[Referrer, Mapping[str, Sequence[str]]] = {}
    for each in kinds:
        only(each, "ResourceTypes.", {"ResourceType", "ResourceTypeOptions"})
        kind = checked_referrer(each.get("ResourceType", ""), allowed)
        if kind in named:
            raise InvalidParameterValue(f"The resource type {kind} is given more than once.")
        named[kind] = _options(kind, each.get("ResourceTypeOptions", ()), options_of)
    asked = {name: values for options in named.values() for name, values in options.items()}
    states, depths = asked.get(STATE_NAME), asked.get(VERSION_DEPTH)
    return Sought(
        types=frozenset(allowed if every else named),
        states=EVERY_STATE if states is None else checked_states(states),
        version_depth=depth if depths is None else checked_depth(depths),
    )


def _options(
    kind: Referrer, given: Sequence[Mapping[str, Any]], options_of: Mapping[Referrer, str]
) -> Mapping[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for each in given:
        name = each.get("OptionName", "")
        if name != options_of.get(kind):
            raise InvalidParameterCombination(f"The resource type {kind} has no option '{name}'.")
        if name in found:
            raise InvalidParameterValue(f"The option {name} is given more than once.")
        found[name] = each.get("OptionValues", ())
    return found


def _answer(reference: ImageReference) -> dict[str, str]:
    return {
        "ImageId": reference.image_id,
        "ResourceType": reference.type,
        "Arn": reference.arn,
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeImageReferences": operation(
        describe_image_references,
        *("ImageIds", "IncludeAllResourceTypes", "ResourceTypes", "MaxResults", "NextToken"),
        partly="nothing of Image Builder, which openami does not have",
    ),
}
