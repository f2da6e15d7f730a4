"""Column types that hold domain values, so that a row becomes a value without mapping code."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import DateTime, Dialect, String, Text, TypeDecorator

from openami.domain.allowed_images import ImageCriterion, ScanCondition, WatermarkFilter
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.event_window import TimeRange
from openami.domain.image_use import Referrer
from openami.domain.instance import EphemeralDisk, MetadataOptions
from openami.domain.recycle_bin import TagPattern
from openami.domain.root_replacement import FromImage
from openami.domain.state_reason import StateReason

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant. SQLite forgets the zone, so UTC goes in and UTC comes out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class EnumText(TypeDecorator[E], Generic[E]):
    """A StrEnum by its value."""

    impl = String(32)
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        return None if value is None else self.kind(value)


class JsonText(TypeDecorator[T], Generic[T]):
    """A value that is never searched for, as JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, name: str, to: Callable[[T], Any], back: Callable[[Any], T]) -> None:
        super().__init__()
        self.name, self._to, self._back = name, to, back

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(self._to(value), separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:
        return None if value is None else self._back(json.loads(value))


def _bare(value: Any) -> dict[str, Any]:
    return {key: item for key, item in dataclasses.asdict(value).items() if item is not None}


def _mapping(raw: dict[str, Any]) -> BlockDeviceMapping:
    ebs = raw.pop("ebs", None)
    return BlockDeviceMapping(ebs=None if ebs is None else EbsDevice(**ebs), **raw)


def _bare_mapping(mapping: BlockDeviceMapping) -> dict[str, Any]:
    raw = _bare(mapping)
    if mapping.ebs is not None:
        raw["ebs"] = _bare(mapping.ebs)
    return raw


def state_reason() -> JsonText[StateReason]:
    return JsonText("state_reason", _bare, lambda raw: StateReason(**raw))


def metadata_options() -> JsonText[MetadataOptions]:
    return JsonText("metadata_options", _bare, lambda raw: MetadataOptions(**raw))


def from_image() -> JsonText[FromImage]:
    return JsonText("from_image", _bare, lambda raw: FromImage(**raw))


def ephemeral_disks() -> JsonText[tuple[EphemeralDisk, ...]]:
    return JsonText(
        "ephemeral_disks",
        lambda disks: [_bare(disk) for disk in disks],
        lambda raw: tuple(EphemeralDisk(**disk) for disk in raw),
    )


def block_device_mappings() -> JsonText[tuple[BlockDeviceMapping, ...]]:
    return JsonText(
        "block_device_mappings",
        lambda mappings: [_bare_mapping(mapping) for mapping in mappings],
        lambda raw: tuple(_mapping(mapping) for mapping in raw),
    )


def _criterion(raw: dict[str, Any]) -> ImageCriterion:
    for name in ("providers", "product_codes", "names"):
        raw[name] = tuple(raw[name])
    raw["watermarks"] = tuple(WatermarkFilter(**each) for each in raw["watermarks"])
    if "scan" in raw:
        raw["scan"] = ScanCondition(**raw["scan"])
    return ImageCriterion(**raw)


def image_criteria() -> JsonText[tuple[ImageCriterion, ...]]:
    return JsonText(
        "image_criteria",
        lambda criteria: [_bare(each) for each in criteria],
        lambda raw: tuple(_criterion(each) for each in raw),
    )


def tag_patterns() -> JsonText[tuple[TagPattern, ...]]:
    return JsonText(
        "tag_patterns",
        lambda patterns: [_bare(pattern) for pattern in patterns],
        lambda raw: tuple(TagPattern(**pattern) for pattern in raw),
    )


def pairs() -> JsonText[Mapping[str, str]]:
    return JsonText("pairs", dict, dict)


def time_ranges() -> JsonText[tuple[TimeRange, ...]]:
    return JsonText(
        "time_ranges",
        lambda ranges: [_bare(each) for each in ranges],
        lambda raw: tuple(TimeRange(**each) for each in raw),
    )


def text_pairs() -> JsonText[tuple[tuple[str, str], ...]]:
    """Pairs in their order, of which several may begin with the same text."""
    return JsonText("text_pairs", list, lambda raw: tuple((first, then) for first, then in raw))


def texts() -> JsonText[tuple[str, ...]]:
    return JsonText("texts", list, tuple)


def referrers() -> JsonText[tuple[Referrer, ...]]:
    return JsonText("referrers", list, lambda raw: tuple(Referrer(each) for each in raw))


def document() -> JsonText[Mapping[str, Any]]:
    """What only a front door reads, as it is."""
    return JsonText("document", dict, dict)
