"""Launch templates: named documents of launch parameters, in versions that never change.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-launch-templates.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.ids import AccountId, LaunchTemplateId, Region

LATEST: Final = "$Latest"
DEFAULT: Final = "$Default"
VERSIONS_MAX: Final = 10_000
DESCRIPTION_CHARACTERS_MAX: Final = 255

Document = Mapping[str, Any]
"""The parameters as the client wrote them, by EC2's names. Only EC2's front door reads it."""

_NAME: Final = re.compile(r"[A-Za-z0-9()./_\-]{3,128}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchTemplate:
    """`versions_made` counts those too that were deleted: numbers are not used again."""

    id: LaunchTemplateId
    region: Region
    owner: AccountId
    name: str
    created_at: datetime
    default_version: int = 1
    latest_version: int = 1
    versions_made: int = 1

    def with_default(self, version: int) -> "LaunchTemplate":
        return replace(self, default_version=version)

    def with_another_version(self) -> "LaunchTemplate":
        number = self.versions_made + 1
        return replace(self, latest_version=number, versions_made=number)

    def with_versions(self, kept: Iterable[int]) -> "LaunchTemplate":
        return replace(self, latest_version=max(kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One version; `image` is what the document says of it: an id, resolve:ssm:… or nothing."""

    template_id: LaunchTemplateId
    number: int
    created_at: datetime
    data: Document
    description: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """How requests name a template: by its id or by its name."""

    id: LaunchTemplateId | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.id is None and self.name is None:
            raise MissingParameter("LaunchTemplateId or LaunchTemplateName")
        if self.id is not None and self.name is not None:
            raise InvalidParameterCombination(
                "The request must name a launch template by its ID or by its name, not by both."
            )

    def not_found(self) -> EC2Error:
        if self.id is not None:
            return template_id_not_found(self.id)
        return EC2Error.of(
            "InvalidLaunchTemplateName.NotFoundException",
            f"The specified launch template, with template name {self.name}, does not exist.",
        )


def template_id_not_found(template_id: str) -> EC2Error:
    return EC2Error.of(
        "InvalidLaunchTemplateId.NotFound",
        f"The specified launch template, with template ID {template_id}, does not exist.",
    )


def version_not_found(template_id: LaunchTemplateId, version: str | int) -> EC2Error:
    return EC2Error.of(
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find launch template version {version} for launch template {template_id}.",
    )


def checked_template_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise EC2Error.of(
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters,"
            " numbers, and the following characters: - ( ) . / _",
        )
    return name


def checked_version(text: str) -> str:
    """`$Latest`, `$Default` or a number. Raises InvalidParameterValue."""
    if text not in (LATEST, DEFAULT) and _NUMBER.fullmatch(text) is None:
        raise InvalidParameterValue(
            f"Value ({text}) is invalid: a launch template version is '$Default', '$Latest' or a"
            " number."
        )
    return text


def checked_number(text: str) -> int:
    """The number of a version, where nothing else may stand for one."""
    if _NUMBER.fullmatch(text) is None:
        raise InvalidParameterValue(f"Value ({text}) is invalid: it must be a version number.")
    return int(text)


def checked_description(text: str | None) -> str | None:
    if text is not None and len(text) > DESCRIPTION_CHARACTERS_MAX:
        raise InvalidParameterValue(
            f"A version description has at most {DESCRIPTION_CHARACTERS_MAX} characters."
        )
    return text or None


def chosen(number_of: str, template: LaunchTemplate, kept: Iterable[int]) -> int:
    """The number that `number_of` stands for. Raises VersionNotFound."""
    numbers = set(kept)
    if number_of == LATEST:
        return max(numbers)
    number = template.default_version if number_of == DEFAULT else int(number_of)
    if number not in numbers:
        raise version_not_found(template.id, number_of)
    return number


def based_on(source: Document, changes: Document) -> Document:
    """The document of a new version that has a source: what it does not name stays.

    The snapshots of the source's devices do not come along
    (CreateLaunchTemplateVersion, parameter SourceVersion).
    """
    kept = dict(source)
    mappings = kept.get("BlockDeviceMappings")
    if mappings is not None:
        kept["BlockDeviceMappings"] = [_without_snapshot(each) for each in mappings]
    return {**kept, **changes}


def _without_snapshot(mapping: Document) -> Document:
    ebs = mapping.get("Ebs")
    if not ebs or "SnapshotId" not in ebs:
        return mapping
    return {**mapping, "Ebs": {key: each for key, each in ebs.items() if key != "SnapshotId"}}
