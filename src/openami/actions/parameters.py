"""SSM parameters: put, got, labelled, deleted; and how an image is found by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openami.actions.allowed_pattern import check_allowed_pattern
from openami.catalog import images, parameters, tags
from openami.catalog.catalog import Transaction
from openami.catalog.parameters import Condition as Condition
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.filter import Page
from openami.domain.ids import ImageId
from openami.domain.parameter import (
    IMAGE_TYPE,
    LABELS_MAX,
    PARAMETERS_MAX,
    TEXT_TYPE,
    VERSIONS_MAX,
    Parameter,
    ParameterNotFound,
    ParameterType,
    ParameterVersionNotFound,
    Pointer,
    check_name,
    check_path,
    check_value,
    invalid,
    is_label,
    parse_pointer,
)
from openami.services import Services

RESOURCE_TYPE: Final = "parameter"
RESOLVE_PREFIX: Final = "resolve:ssm:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """What PutParameter is told. `kind` may be left open for a parameter that exists."""

    name: str
    value: str
    kind: ParameterType | None = None
    data_type: str = TEXT_TYPE
    description: str | None = None
    allowed_pattern: str | None = None
    overwrite: bool = False
    tags: Mapping[str, str] | None = None


def put_parameter(svc: Services, caller: Caller, asked: Put) -> Parameter:
    """A new parameter, or with `overwrite` the next version of one."""
    check_name(asked.name)
    check_value(asked.value, asked.data_type)
    if asked.overwrite and asked.tags:
        raise invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter"
            " with tags, please remove overwrite flag. To update tags for an existing parameter,"
            " please use AddTagsToResource or RemoveTagsFromResource."
        )
    if asked.allowed_pattern:
        check_allowed_pattern(asked.allowed_pattern, asked.value)
    with svc.catalog.begin() as tx:
        if asked.data_type == IMAGE_TYPE:
            _check_image(svc, tx, caller, ImageId(asked.value))
        return put(svc, tx, caller, asked)


def put(svc: Services, tx: Transaction, caller: Caller, asked: Put) -> Parameter:
    """The rest of PutParameter, when name and value have been found good."""
    earlier = parameters.find_owned(tx, caller, asked.name)
    made = Parameter(
        id=svc.ids.new("param") if earlier is None else earlier.id,
        region=caller.region,
        owner=caller.account,
        name=asked.name,
        type=_kind(tx, caller, earlier, asked),
        version=1 if earlier is None else earlier.version + 1,
        value=asked.value,
        modified_at=svc.clock.now(),
        data_type=asked.data_type,
        description=_description(earlier, asked),
        allowed_pattern=asked.allowed_pattern or None,
    )
    if made.version > VERSIONS_MAX:
        _make_room(tx, made)
    parameters.add(tx, made)
    tags.put(tx, caller.account, caller.region, (RESOURCE_TYPE, made.id), asked.tags or {})
    return made


def _kind(tx: Transaction, caller: Caller, earlier: Parameter | None, asked: Put) -> ParameterType:
    if earlier is None:
        if asked.kind is None:
            raise invalid("A parameter type is required when you create a parameter.")
        if parameters.count(tx, caller) >= PARAMETERS_MAX:
            raise EC2Error.of(
                "ParameterLimitExceeded",
                f"You have exceeded the number of parameters for this account: {PARAMETERS_MAX}.",
            )
        return asked.kind
    if not asked.overwrite:
        raise EC2Error.of(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in"
            " the request to true.",
        )
    if asked.kind is not None and asked.kind is not earlier.type:
        raise EC2Error.of(
            "HierarchyTypeMismatchException",
            "The parameter type can't be changed: the parameter is of type"
            f" {earlier.type}. Delete it and make it anew.",
        )
    return earlier.type


def _description(earlier: Parameter | None, asked: Put) -> str | None:
    if asked.description is None and earlier is not None:
        return earlier.description
    return asked.description or None


def _make_room(tx: Transaction, newest: Parameter) -> None:
    """The oldest version goes, unless somebody relies on it by a label."""
    (oldest,) = parameters.versions(tx, newest.id, Page(limit=1))
    if oldest.labels:
        raise EC2Error.of(
            "ParameterMaxVersionLimitExceeded",
            f"You attempted to create a new version of {newest.name}, but version"
            f" {oldest.version}, the oldest, can't be deleted because it has a label.",
        )
    parameters.remove_version(tx, newest.id, oldest.version)


def _check_image(svc: Services, tx: Transaction, caller: Caller, image_id: ImageId) -> None:
    try:
        images.fetch_launchable(tx, image_id, caller.account, caller.region, svc.clock.now())
    except EC2Error as refusal:
        raise invalid(f"The parameter's value is no usable AMI: {refusal}") from refusal


def get_parameter(svc: Services, caller: Caller, name: str) -> tuple[Parameter, Pointer]:
    pointer = parse_pointer(name, caller)
    with svc.catalog.read() as tx:
        return parameters.fetch(tx, caller, pointer), pointer


def get_parameters(
    svc: Services, caller: Caller, names: Sequence[str]
) -> tuple[list[tuple[Parameter, Pointer]], list[str]]:
    """Those that are there, and the names of those that are not."""
    found: list[tuple[Parameter, Pointer]] = []
    missing: list[str] = []
    with svc.catalog.read() as tx:
        for name in names:
            try:
                pointer = parse_pointer(name, caller)
                found.append((parameters.fetch(tx, caller, pointer), pointer))
            except EC2Error:
                missing.append(name)
    return found, missing


def get_parameters_by_path(
    svc: Services,
    caller: Caller,
    path: str,
    recursive: bool,
    conditions: Sequence[Condition],
    page: Page,
) -> list[Parameter]:
    check_path(path)
    with svc.catalog.read() as tx:
        return parameters.under(tx, caller, path, recursive, conditions, page)


def describe_parameters(
    svc: Services, caller: Caller, conditions: Sequence[Condition], page: Page
) -> list[Parameter]:
    with svc.catalog.read() as tx:
        return parameters.describe(tx, caller, conditions, page)


def get_parameter_history(svc: Services, caller: Caller, name: str, page: Page) -> list[Parameter]:
    with svc.catalog.read() as tx:
        found = parameters.fetch_owned(tx, caller, parse_pointer(name, caller).name)
        return parameters.versions(tx, found.id, page)


def delete_parameters(
    svc: Services, caller: Caller, names: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The names that were deleted, and those that there were none of."""
    deleted: list[str] = []
    with svc.catalog.begin() as tx:
        for name in dict.fromkeys(names):
            found = parameters.find_owned(tx, caller, name)
            if found is not None:
                parameters.remove(tx, found.id)
                tags.remove_all(tx, found.id)
                deleted.append(name)
    return deleted, [name for name in names if name not in deleted]


def delete_parameter(svc: Services, caller: Caller, name: str) -> None:
    """Raises ParameterNotFound."""
    deleted, _ = delete_parameters(svc, caller, [parse_pointer(name, caller).name])
    if not deleted:
        raise ParameterNotFound(name)


def label_parameter_version(
    svc: Services, caller: Caller, name: str, version: int | None, labels: Sequence[str]
) -> tuple[int, list[str]]:
    """The version that has the labels now, and those that cannot be labels."""
    good = [each for each in dict.fromkeys(labels) if is_label(each)]
    with svc.catalog.begin() as tx:
        target = _version(tx, caller, name, version)
        if len({*target.labels, *good}) > LABELS_MAX:
            raise EC2Error.of(
                "ParameterVersionLabelLimitExceeded",
                f"A parameter version can have maximum {LABELS_MAX} labels. Move one or more"
                " labels to another version and try again.",
            )
        parameters.label(tx, target.id, target.version, good)
    return target.version, [each for each in labels if each not in good]


def unlabel_parameter_version(
    svc: Services, caller: Caller, name: str, version: int, labels: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The labels that were taken off, and those that the version did not have."""
    with svc.catalog.begin() as tx:
        target = _version(tx, caller, name, version)
        worn = [each for each in dict.fromkeys(labels) if each in target.labels]
        parameters.unlabel(tx, target.id, worn)
    return worn, [each for each in labels if each not in worn]


def _version(tx: Transaction, caller: Caller, name: str, version: int | None) -> Parameter:
    newest = parameters.fetch_owned(tx, caller, parse_pointer(name, caller).name)
    if version is None:
        return newest
    found = parameters.fetch_version(tx, newest.id, version)
    if found is None:
        raise ParameterVersionNotFound(Pointer(name=name, selector=str(version)))
    return found


def add_tags(svc: Services, caller: Caller, name: str, pairs: Mapping[str, str]) -> None:
    with svc.catalog.begin() as tx:
        found = _taggable(tx, caller, name)
        tags.put(tx, caller.account, caller.region, (RESOURCE_TYPE, found.id), pairs)


def remove_tags(svc: Services, caller: Caller, name: str, keys: Sequence[str]) -> None:
    with svc.catalog.begin() as tx:
        found = _taggable(tx, caller, name)
        for key in keys:
            tags.remove(tx, caller.account, found.id, key, None)


def list_tags(svc: Services, caller: Caller, name: str) -> Mapping[str, str]:
    with svc.catalog.read() as tx:
        return tags.of_one(tx, caller.account, _taggable(tx, caller, name).id)


def _taggable(tx: Transaction, caller: Caller, name: str) -> Parameter:
    found = parameters.find_owned(tx, caller, name)
    if found is None:
        raise EC2Error.of("InvalidResourceId", f"The resource ID {name} is not valid.")
    return found


def resolved_image(svc: Services, caller: Caller, text: str) -> str:
    """The image that `resolve:ssm:name[:version|:label]` names; any other text as it is.

    Raises InvalidParameterValue, as EC2 does when it cannot read the parameter as an image.
    """
    if not text.startswith(RESOLVE_PREFIX):
        return text
    try:
        found, _ = get_parameter(svc, caller, text.removeprefix(RESOLVE_PREFIX))
    except EC2Error as refusal:
        raise InvalidParameterValue(
            f"Value ({text}) for parameter imageId is invalid. {refusal}"
        ) from refusal
    if found.data_type != IMAGE_TYPE:
        raise InvalidParameterValue(
            f"Value ({text}) for parameter imageId is invalid. The parameter is of the data type"
            f" '{found.data_type}' and must be '{IMAGE_TYPE}'."
        )
    return found.value
