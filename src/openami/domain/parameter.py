"""SSM parameters: names, versions, labels, and how a request points at one of them.

https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Region, is_id

IMAGE_TYPE: Final = "aws:ec2:image"
TEXT_TYPE: Final = "text"
PUBLIC_PREFIX: Final = "/aws/service/"

NAME_CHARACTERS_MAX: Final = 1011
LEVELS_MAX: Final = 15
STANDARD_VALUE_CHARACTERS_MAX: Final = 4096
VERSIONS_MAX: Final = 100
LABELS_MAX: Final = 10
PARAMETERS_MAX: Final = 10_000

_NAME: Final = re.compile(r"[A-Za-z0-9_.\-/]+")
_LABEL: Final = re.compile(r"(?!aws|ssm)[A-Za-z_.\-][A-Za-z0-9_.\-]*", re.IGNORECASE)


class ParameterType(StrEnum):
    STRING = "String"
    STRING_LIST = "StringList"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One version of a parameter; the newest is what its name stands for."""

    id: str
    region: Region
    owner: AccountId
    name: str
    type: ParameterType
    version: int
    value: str
    modified_at: datetime
    data_type: str = TEXT_TYPE
    description: str | None = None
    allowed_pattern: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def public(self) -> bool:
        return self.name.startswith(PUBLIC_PREFIX)

    @property
    def arn(self) -> str:
        owner = "" if self.public else self.owner
        return f"arn:aws:ssm:{self.region}:{owner}:parameter/{self.name.removeprefix('/')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A name as requests give it: bare, or with `:3` or `:label`, or within an ARN."""

    name: str
    selector: str = ""

    @property
    def version(self) -> int | None:
        return int(self.selector) if re.fullmatch(r"[0-9]{1,18}", self.selector) else None

    @property
    def label(self) -> str | None:
        return self.selector if self.selector and self.version is None else None


def parse_pointer(text: str, caller: Caller) -> Pointer:
    """The parameter that `text` names when the caller asks.

    Raises ValidationException, and ParameterNotFound for an ARN of another account or region:
    the caller may have a parameter of that name, but it is not the one that is meant.
    """
    rest = text
    if text.startswith("arn:"):
        place, separator, resource = text.partition(":parameter/")
        if not text.startswith("arn:aws:ssm:") or not separator:
            raise invalid(f"Invalid parameter ARN: {text}")
        rest = f"/{resource}" if "/" in resource else resource
        owner = "" if rest.startswith(PUBLIC_PREFIX) else caller.account
        if place != f"arn:aws:ssm:{caller.region}:{owner}":
            raise ParameterNotFound(text)
    name, _, selector = rest.partition(":")
    if not name or ":" in selector or _NAME.fullmatch(name) is None:
        raise invalid(f"Invalid label or version, or invalid parameter name: {text}")
    return Pointer(name=name, selector=selector)


def check_name(name: str, *, public: bool = False) -> None:
    """Raises what SSM raises for a new parameter's name. `public` allows those of AWS's paths."""
    first = name.removeprefix("/").partition("/")[0].lower()
    if first.startswith("aws") and not public:
        raise EC2Error.of("AccessDeniedException", f"No access to reserved parameter name: {name}.")
    if first.startswith("ssm"):
        raise invalid('Parameter name: can\'t be prefixed with "ssm" (case-insensitive).')
    parts = name.removeprefix("/").split("/")
    if _NAME.fullmatch(name) is None or not all(parts):
        raise invalid(
            "Parameter name: a name is formed of letters, numbers and the symbols . - _ ; a path"
            " divides such names by slashes and begins with one."
        )
    if len(parts) > 1 and not name.startswith("/"):
        raise invalid("Parameter name must be a fully qualified name.")
    if len(parts) > LEVELS_MAX:
        raise EC2Error.of(
            "HierarchyLevelLimitExceededException",
            f"A hierarchy can have a maximum of {LEVELS_MAX} levels.",
        )
    if len(name) > NAME_CHARACTERS_MAX:
        raise invalid(f"Parameter name exceeds {NAME_CHARACTERS_MAX} characters.")


def check_value(value: str, data_type: str) -> None:
    """Raises ValidationException for a value that no standard parameter can have."""
    if not value:
        raise invalid("The parameter value can't be empty.")
    if "{{" in value:
        raise invalid(
            'Parameter value can\'t nest another parameter. Do not use "{{}}" in the value.'
        )
    if len(value) > STANDARD_VALUE_CHARACTERS_MAX:
        raise invalid(
            "Standard tier parameters support a maximum parameter value of"
            f" {STANDARD_VALUE_CHARACTERS_MAX} characters."
        )
    if data_type not in (TEXT_TYPE, IMAGE_TYPE):
        raise invalid(
            f"The following data type is not supported: {data_type} (Data type names are all"
            " lowercase.)"
        )
    if data_type == IMAGE_TYPE and not is_id("ami", value):
        raise invalid(f"The value '{value}' of a parameter of type {IMAGE_TYPE} is no AMI ID.")


def is_label(text: str) -> bool:
    """What may be a label: not a number, nor a name that AWS keeps for itself."""
    return len(text) <= 100 and _LABEL.fullmatch(text) is not None


def check_path(path: str) -> None:
    if not path.startswith("/") or _NAME.fullmatch(path) is None or "//" in path:
        raise invalid(
            "The parameter doesn't meet the parameter name requirements. The parameter name must"
            ' begin with a forward slash "/". It can be formed of sub-paths divided by slashes,'
            " each a mix of letters, numbers and the symbols . - _"
        )


def invalid(message: str) -> EC2Error:
    return EC2Error.of("ValidationException", message)


class ParameterNotFound(EC2Error):
    code = "ParameterNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"Parameter {name} not found.")


class ParameterVersionNotFound(EC2Error):
    code = "ParameterVersionNotFound"

    def __init__(self, pointer: Pointer) -> None:
        what = "version" if pointer.version is not None else "label"
        super().__init__(
            f"Systems Manager could not find {what} {pointer.selector} of {pointer.name}."
            f" Verify the {what} and try again."
        )
