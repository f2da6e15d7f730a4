"""Three accounts: the owner of everything, the reader it shares with, and a stranger."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import botocore.exceptions
from botocore import xform_name

from support import api
from support.access.possessions import owners_things
from support.access.row import MAY, NOTHING, OWN, ROLES, SEES, Access
from support.access.things import blank, template_of, things_of
from support.server import Server
from support.world import registered

_ID: Final = re.compile(r"[a-z]+(-[a-z]+)*-[0-9a-f]{8,17}")
NEVER: Final = "0123456789abcdef0"
FORMER: Final = {
    "image": "former_image",
    "snapshot": "former_snapshot",
    "my_template_of_image": "my_template_of_former_image",
}
"""What was shared with the reader, by the name of what still is."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`code` is empty if it was no refusal; `text` is a refusal's sentence, or all of an answer."""

    code: str
    text: str

    def outcome(self, expected: str, shown: str) -> str:
        """MAY, SEES, NOTHING or the code."""
        if self.code == "DryRunOperation":
            return MAY
        if self.code or expected == MAY:
            return self.code or MAY
        return SEES if shown in self.text else NOTHING

    def without(self, names: Iterable[str]) -> "Answer":
        """The same with ids, names and what counts up taken out of it."""
        text = re.sub(r"datetime\([^()]*\(\)\)|(?<='VersionNumber': )[0-9]+", "…", self.text)
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, "…")
        return Answer(code=self.code, text=text)


@dataclass(frozen=True, kw_only=True)
class AccessWorld:
    """A server, and the resources by the names that rows call them by.

    `names` are the owner's. `own` has those that each role has of its own.
    """

    server: Server
    names: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]]

    def never(self) -> "AccessWorld":
        """The same world with ids and names in it that nobody ever had."""
        return AccessWorld(
            server=self.server,
            names={name: _never(value) for name, value in self.names.items()},
            own={
                role: {**names, "my_template_of_image": names["my_template_of_never"]}
                for role, names in self.own.items()
            },
        )

    def taken_back(self) -> "AccessWorld":
        """The same world, but what is shared with the reader in rows is what was so once."""

        def replaced(names: Mapping[str, str]) -> dict[str, str]:
            former = {name: names[old] for name, old in FORMER.items() if old in names}
            return {**names, **former}

        own = {role: replaced(names) for role, names in self.own.items()}
        return AccessWorld(server=self.server, names=replaced(self.names), own=own)

    def filled(self, value: Any, role: str) -> Any:
        """The value with the names in it replaced by what they stand for when the role asks."""
        if isinstance(value, Mapping):
            return {key: self.filled(each, role) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each, role) for each in value]
        if isinstance(value, str) and value.startswith("{"):
            return {**self.names, **self.own[role]}[value[1:-1]]
        return value

    def shown(self, row: Access, role: str) -> str:
        return str(self.filled(row.shows or f"{{{row.resource}}}", role))

    def hidden(self, row: Access) -> list[str]:
        return self.filled(list(row.hides), "owner")

    def every_name(self, role: str) -> set[str]:
        return {*self.names.values(), *self.own[role].values()}

    def ids(self) -> list[str]:
        """Those of the owner's resources."""
        return [value for value in self.names.values() if _ID.fullmatch(value)]

    def told(self, row: Access, role: str, *, dry: bool) -> Answer:
        """What the role gets, ids and names taken out."""
        return self.ask(row, role, dry=dry).without(self.every_name(role))

    def ask(self, row: Access, role: str, *, dry: bool) -> Answer:
        client = self.client(row.service, role)
        asked = self.filled(row.request, role)
        shape = client.meta.service_model.operation_model(row.operation).input_shape
        if dry and shape is not None and "DryRun" in shape.members:
            asked["DryRun"] = True
        try:
            answer = getattr(client, xform_name(row.operation))(**asked)
        except botocore.exceptions.ClientError as refused:
            error = refused.response["Error"]
            return Answer(code=str(error["Code"]), text=str(error["Message"]))
        answer.pop("ResponseMetadata", None)
        return Answer(code="", text=repr(answer))

    def client(self, service: str, role: str) -> Any:
        return self.server.client(service, account=f"access-{role}")


def _never(value: str) -> str:
    if _ID.fullmatch(value):
        return f"{value.rpartition('-')[0]}-{NEVER}"
    if re.fullmatch(r"(arn:aws:rbin:.*/)?[0-9a-f]{11}", value):
        return value[:-11] + NEVER[:11]
    if re.fullmatch(r"[0-9]{12}", value):
        return value[::-1]
    if re.fullmatch(r"arn:aws:dlm:.*/policy-[0-9a-f]{17}", value):
        return value[:-17] + NEVER
    return f"{value}-that-never-was"


def populated(server: Server, image_id: str) -> AccessWorld:
    """`image_id` is an image of the owner that machines launch from."""
    owner: Any = server.client(account="access-owner")
    names = owners_things(server, "access-owner", image_id)
    reader = server.account("access-reader").account
    names |= _shared(owner, names, reader, server.account("default").account)
    own = {role: things_of(server, f"access-{role}") for role in ROLES}
    images = {name: names[name] for name in ("image", "former_image")}
    for role, things in own.items():
        for name, each in {**images, "never": f"ami-{NEVER}"}.items():
            called = f"{OWN}template_of_{name}"
            things[called] = template_of(server, f"access-{role}", each, called)
    own["reader"] |= _made_while_shared(server, names)
    _take_back(owner, names, reader)
    return AccessWorld(server=server, names=names, own=own)


def _shared(ec2: Any, names: Mapping[str, str], reader: str, third: str) -> dict[str, str]:
    """Shares what there is to be shared, and makes what is to be taken back."""
    _, snapshot_id = blank(ec2)
    former = {
        "former_snapshot": snapshot_id,
        "former_image": registered(ec2, snapshot_id, "access-former"),
    }
    permission = {"Add": [{"UserId": reader}, {"UserId": third}]}
    for each in (names["snapshot"], former["former_snapshot"]):
        ec2.modify_snapshot_attribute(SnapshotId=each, CreateVolumePermission=permission)
    images = (names["image"], names["disabled_image"], former["former_image"])
    for each in images:
        ec2.modify_image_attribute(ImageId=each, LaunchPermission=permission)
    ec2.disable_image(ImageId=names["disabled_image"])
    tagged = [names["image"], names["snapshot"], *former.values()]
    ec2.create_tags(Resources=tagged, Tags=api.tags({"of": "the owner"}))
    return former | {"third": third}


def _made_while_shared(server: Server, names: Mapping[str, str]) -> dict[str, str]:
    """What the reader has of what is then taken back."""
    ec2: Any = server.client(account="access-reader")
    image_id, snapshot_id = names["former_image"], names["former_snapshot"]
    api.launch(ec2, image_id)
    ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot_id)
    ec2.create_tags(Resources=[image_id, snapshot_id], Tags=api.tags({"by": "the reader"}))
    server.client("ssm", account="access-reader").put_parameter(
        Name="/my/former", Type="String", Value=image_id, DataType="aws:ec2:image"
    )
    return {
        "my_former_copy": registered(ec2, snapshot_id, "my-former"),
        "my_former_parameter": "resolve:ssm:/my/former",
    }


def _take_back(ec2: Any, names: Mapping[str, str], reader: str) -> None:
    permission = {"Remove": [{"UserId": reader}]}
    ec2.modify_image_attribute(ImageId=names["former_image"], LaunchPermission=permission)
    ec2.modify_snapshot_attribute(
        SnapshotId=names["former_snapshot"], CreateVolumePermission=permission
    )
