"""Enable-, Disable- and GetAllowedImagesSettings, ReplaceImageCriteriaInAllowedImagesSettings."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions import allowed_images as actions
from openami.domain.allowed_images import (
    AllowedImagesState,
    ImageCriterion,
    ScanCondition,
    WatermarkFilter,
)
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.services import Services

_STATE: Final = "AllowedImagesSettingsState"
_ENABLED: Final = (AllowedImagesState.ENABLED, AllowedImagesState.AUDIT_MODE)

# The names of the wire and of our values, of each structure.
_WATERMARK: Final = {
    "WatermarkKey": "watermark_key",
    "SourceImageRegion": "source_image_region",
    "MaximumDaysSinceSourceImageCreated": "days_since_source_image_created_max",
    "MaximumDaysSinceWatermarkCreated": "days_since_watermark_created_max",
}
_SCAN: Final = {
    "MaxDaysSinceLastFindingScan": "days_since_last_finding_scan_max",
    "MaximumSeverityLabel": "severity_label_max",
    "MaxDaysSinceInformationalFixAvailable": "days_since_informational_fix_available_max",
    "MaxDaysSinceLowFixAvailable": "days_since_low_fix_available_max",
    "MaxDaysSinceMediumFixAvailable": "days_since_medium_fix_available_max",
    "MaxDaysSinceHighFixAvailable": "days_since_high_fix_available_max",
    "MaxDaysSinceCriticalFixAvailable": "days_since_critical_fix_available_max",
}
_LISTS: Final = {
    "ImageProviders": "providers",
    "MarketplaceProductCodes": "product_codes",
    "ImageNames": "names",
}
_AGES: Final = {
    "DeprecationTimeCondition": ("MaximumDaysSinceDeprecated", "days_since_deprecated_max"),
    "CreationDateCondition": ("MaximumDaysSinceCreated", "days_since_created_max"),
}


def enable_allowed_images_settings(svc: Services, caller: Caller, request: Request) -> Result:
    wanted = request[_STATE]
    if wanted not in _ENABLED:
        raise InvalidParameterValue(
            f"Value ({wanted}) for parameter {_STATE} is invalid."
            f" It must be one of {', '.join(_ENABLED)}."
        )
    actions.set_allowed_images_state(svc, caller, AllowedImagesState(wanted))
    return {_STATE: wanted}


def disable_allowed_images_settings(svc: Services, caller: Caller, _request: Request) -> Result:
    actions.set_allowed_images_state(svc, caller, AllowedImagesState.DISABLED)
    return {_STATE: AllowedImagesState.DISABLED}


def get_allowed_images_settings(svc: Services, caller: Caller, _request: Request) -> Result:
    settings = actions.get_allowed_images_settings(svc, caller)
    return {
        "State": settings.state,
        "ImageCriteria": [_answer(criterion) for criterion in settings.criteria],
        "ManagedBy": "account",
    }


def replace_image_criteria(svc: Services, caller: Caller, request: Request) -> Result:
    criteria = [_criterion(raw) for raw in request.get("ImageCriteria", ())]
    actions.replace_image_criteria(svc, caller, criteria)
    return {"ReturnValue": True}


def _criterion(raw: Mapping[str, Any]) -> ImageCriterion:
    only(raw, "ImageCriterion.", {*_LISTS, *_AGES, "ImageWatermarks", "ScanResultCondition"})
    ages: dict[str, Any] = {}
    for member, (inner, field) in _AGES.items():
        if member in raw:
            only(raw[member], f"ImageCriterion.{member}.", {inner})
            ages[field] = _required(raw[member], inner)
    scan = raw.get("ScanResultCondition")
    return ImageCriterion(
        **{field: tuple(raw.get(member, ())) for member, field in _LISTS.items()},
        **ages,
        watermarks=tuple(
            WatermarkFilter(**_fields(each, _WATERMARK)) for each in raw.get("ImageWatermarks", ())
        ),
        scan=None if scan is None else ScanCondition(**_fields(scan, _SCAN)),
    )


def _required(raw: Mapping[str, Any], name: str) -> int:
    if name not in raw:
        raise InvalidParameterValue(f"The condition must have {name}.")
    return raw[name]


def _fields(raw: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    only(raw, "ImageCriterion.", set(names))
    return {names[member]: value for member, value in raw.items()}


def _answer(criterion: ImageCriterion) -> dict[str, Any]:
    answer: dict[str, Any] = {
        member: list(getattr(criterion, field))
        for member, field in _LISTS.items()
        if getattr(criterion, field)
    }
    for member, (inner, field) in _AGES.items():
        if getattr(criterion, field) is not None:
            answer[member] = {inner: getattr(criterion, field)}
    if criterion.watermarks:
        answer["ImageWatermarks"] = [_members(each, _WATERMARK) for each in criterion.watermarks]
    if criterion.scan is not None:
        answer["ScanResultCondition"] = _members(criterion.scan, _SCAN)
    return answer


def _members(value: WatermarkFilter | ScanCondition, names: Mapping[str, str]) -> dict[str, Any]:
    found = {member: getattr(value, field) for member, field in names.items()}
    return {member: each for member, each in found.items() if each is not None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "EnableAllowedImagesSettings": operation(enable_allowed_images_settings, _STATE),
    "DisableAllowedImagesSettings": operation(disable_allowed_images_settings),
    "GetAllowedImagesSettings": operation(get_allowed_images_settings),
    "ReplaceImageCriteriaInAllowedImagesSettings": operation(
        replace_image_criteria, "ImageCriteria"
    ),
}
