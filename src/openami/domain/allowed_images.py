"""Allowed AMIs: which images of others an account lets its users find and launch.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-allowed-amis.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from openami.domain.errors import InvalidParameterValue

CRITERIA_MAX: Final = 10
PROVIDERS_MAX: Final = 200
NAMES_MAX: Final = 50
PRODUCT_CODES_MAX: Final = 50
WATERMARKS_MAX: Final = 50
DAYS_MAX: Final = 2**31 - 1

NOBODY: Final = "none"
PROVIDER_ALIASES: Final = ("amazon", "aws-marketplace", "aws-backup-vault")
SEVERITIES: Final = ("informational", "low", "medium", "high", "critical")

_PROVIDER: Final = re.compile(r"[0-9]{12}")
_PRODUCT_CODE: Final = re.compile(r"[A-Za-z0-9]{1,25}")
_NAME: Final = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_*?]{1,128}")
_NAME_WITH_MARK_LEAST: Final = 3


class AllowedImagesState(StrEnum):
    """In audit mode one is told which images the criteria allow, and all can be used."""

    DISABLED = "disabled"
    AUDIT_MODE = "audit-mode"
    ENABLED = "enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatermarkFilter:
    """What one watermark of an image must be, all of it. Key and region may hold wildcards."""

    watermark_key: str | None = None
    source_image_region: str | None = None
    days_since_source_image_created_max: int | None = None
    days_since_watermark_created_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCondition:
    """What the scan of an image must have found. An image that was not scanned never does."""

    days_since_last_finding_scan_max: int | None = None
    severity_label_max: str | None = None
    days_since_informational_fix_available_max: int | None = None
    days_since_low_fix_available_max: int | None = None
    days_since_medium_fix_available_max: int | None = None
    days_since_high_fix_available_max: int | None = None
    days_since_critical_fix_available_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCriterion:
    """An image meets it that meets all that is given; of a list one entry is enough."""

    providers: tuple[str, ...] = ()
    product_codes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    days_since_deprecated_max: int | None = None
    days_since_created_max: int | None = None
    watermarks: tuple[WatermarkFilter, ...] = ()
    scan: ScanCondition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedImagesSettings:
    """An account's rule in a region: an image of others is allowed that meets any criterion."""

    state: AllowedImagesState = AllowedImagesState.DISABLED
    criteria: tuple[ImageCriterion, ...] = ()


def check_criteria(criteria: Sequence[ImageCriterion]) -> None:
    """Raises InvalidParameterValue for what EC2 does not take."""
    _check_count("ImageCriteria", criteria, CRITERIA_MAX)
    for criterion in criteria:
        if criterion == ImageCriterion():
            raise InvalidParameterValue("An ImageCriterion must have at least one parameter.")
        _check_lists(criterion)
        days = (criterion.days_since_deprecated_max, criterion.days_since_created_max)
        _check_days(*days)
        for each in criterion.watermarks:
            _check_watermark(each)
        if criterion.scan is not None:
            _check_scan(criterion.scan)
    alone = (ImageCriterion(providers=(NOBODY,)),)
    if any(NOBODY in each.providers for each in criteria) and tuple(criteria) != alone:
        raise InvalidParameterValue(
            f"When the image provider '{NOBODY}' is specified, no other criteria can be specified."
        )


def _check_lists(criterion: ImageCriterion) -> None:
    _check_count("ImageProviders", criterion.providers, PROVIDERS_MAX)
    _check_count("ImageNames", criterion.names, NAMES_MAX)
    _check_count("MarketplaceProductCodes", criterion.product_codes, PRODUCT_CODES_MAX)
    _check_count("ImageWatermarks", criterion.watermarks, WATERMARKS_MAX)
    for provider in criterion.providers:
        if provider not in (*PROVIDER_ALIASES, NOBODY) and not _PROVIDER.fullmatch(provider):
            raise _wrong(provider, "ImageProvider")
    for code in criterion.product_codes:
        if not _PRODUCT_CODE.fullmatch(code):
            raise _wrong(code, "MarketplaceProductCode")
    for name in criterion.names:
        short = "?" in name and len(name) < _NAME_WITH_MARK_LEAST
        if short or not _NAME.fullmatch(name):
            raise _wrong(name, "ImageName")


def _check_watermark(each: WatermarkFilter) -> None:
    if each == WatermarkFilter():
        raise InvalidParameterValue("An ImageWatermarkFilter must have at least one parameter.")
    _check_days(each.days_since_source_image_created_max, each.days_since_watermark_created_max)


def _check_scan(scan: ScanCondition) -> None:
    if scan == ScanCondition():
        raise InvalidParameterValue("A ScanResultCondition must have at least one parameter.")
    if scan.severity_label_max is not None and scan.severity_label_max not in SEVERITIES:
        raise _wrong(scan.severity_label_max, "MaximumSeverityLabel")
    _check_days(
        scan.days_since_last_finding_scan_max,
        scan.days_since_informational_fix_available_max,
        scan.days_since_low_fix_available_max,
        scan.days_since_medium_fix_available_max,
        scan.days_since_high_fix_available_max,
        scan.days_since_critical_fix_available_max,
    )


def _check_count(name: str, values: Sequence[object], most: int) -> None:
    if len(values) > most:
        raise InvalidParameterValue(f"{name} can have at most {most} values.")


def _check_days(*numbers: int | None) -> None:
    for days in numbers:
        if days is not None and not 0 <= days <= DAYS_MAX:
            raise InvalidParameterValue(
                f"Value ({days}) is invalid: days are between 0 and {DAYS_MAX}."
            )


def _wrong(value: str, parameter: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"Value ({value}) for parameter {parameter} is invalid.")
