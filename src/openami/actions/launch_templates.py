"""Launch templates: made, versioned, told, deleted. What is in a document the front door knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openami.actions.quotas import Quota, check_count, check_room
from openami.catalog import idempotency, images, key_pairs, launch_templates, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.filter import Filter, Page
from openami.domain.idempotency import ClientToken
from openami.domain.ids import LaunchTemplateId, parse_image_id
from openami.domain.launch_template import (
    DEFAULT,
    Document,
    LaunchTemplate,
    TemplateVersion,
    Which,
    based_on,
    checked_template_name,
    chosen,
    version_not_found,
)
from openami.services import Services

RESOURCE_TYPE: Final = "launch-template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A template with its tags, or one of its versions with the template."""

    template: LaunchTemplate
    tags: Mapping[str, str]

    @property
    def id(self) -> LaunchTemplateId:
        return self.template.id


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedVersion:
    template: LaunchTemplate
    version: TemplateVersion

    @property
    def place(self) -> str:
        """Where it stands in a listing: by template, the newest version first."""
        return f"{self.template.id} {10**18 - self.version.number:018d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What a version is to be made of."""

    data: Document
    description: str | None = None
    token: ClientToken | None = None


def create_launch_template(
    svc: Services, caller: Caller, name: str, asked: NewVersion, pairs: Mapping[str, str]
) -> Described:
    checked_template_name(name)
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            return _described(tx, caller, Which(id=LaunchTemplateId(earlier)))
        if launch_templates.find_owned(tx, caller, Which(name=name)) is not None:
            raise EC2Error.of(
                "InvalidLaunchTemplateName.AlreadyExistsException",
                "Launch template name already in use.",
            )
        check_room(svc, tx, Quota.LAUNCH_TEMPLATES, caller.account, caller.region)
        template = LaunchTemplate(
            id=LaunchTemplateId(svc.ids.new("lt")),
            region=caller.region,
            owner=caller.account,
            name=name,
            created_at=svc.clock.now(),
        )
        launch_templates.add(tx, template, _version(svc, template, asked, asked.data))
        tags.put(tx, caller.account, caller.region, (RESOURCE_TYPE, template.id), pairs)
        idempotency.remember(tx, caller, asked.token, template.id, template.created_at)
        return Described(template=template, tags=pairs)


def create_launch_template_version(
    svc: Services, caller: Caller, which: Which, source: str | None, asked: NewVersion
) -> DescribedVersion:
    """The next version; with `source` it has all of that version that `asked` does not name."""
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            template_id, _, number = earlier.partition(":")
            return _fetched(tx, caller, Which(id=LaunchTemplateId(template_id)), number)
        template = launch_templates.fetch_owned(tx, caller, which)
        data = asked.data
        if source is not None:
            data = based_on(_fetched(tx, caller, which, source).version.data, data)
        held = len(launch_templates.numbers(tx, template.id))
        check_count(svc, Quota.LAUNCH_TEMPLATE_VERSIONS, held + 1)
        template = template.with_another_version()
        version = _version(svc, template, asked, data)
        launch_templates.save(tx, template)
        launch_templates.add_version(tx, version)
        made = f"{template.id}:{version.number}"
        idempotency.remember(tx, caller, asked.token, made, version.created_at)
        return DescribedVersion(template=template, version=version)


def _version(
    svc: Services, template: LaunchTemplate, asked: NewVersion, data: Document
) -> TemplateVersion:
    return TemplateVersion(
        template_id=template.id,
        number=template.latest_version,
        created_at=svc.clock.now(),
        data=data,
        description=asked.description,
        image=data.get("ImageId"),
    )


def warnings(svc: Services, caller: Caller, data: Document) -> list[EC2Error]:
    """What a launch from the document would meet today; a template may be made all the same."""
    found: list[EC2Error] = []
    with svc.catalog.read() as tx:
        image, key = str(data.get("ImageId") or ""), data.get("KeyName")
        try:
            if image.startswith("ami-"):
                images.fetch_visible(tx, parse_image_id(image), caller.account, caller.region)
        except EC2Error as refusal:
            found.append(refusal)
        try:
            if key:
                key_pairs.fetch_owned(tx, caller.account, caller.region, key)
        except EC2Error as refusal:
            found.append(refusal)
    return found


def describe_launch_templates(
    svc: Services,
    caller: Caller,
    which: Sequence[Which],
    conditions: Sequence[Filter],
    page: Page,
) -> list[Described]:
    with svc.catalog.read() as tx:
        found = launch_templates.describe(tx, caller, which, conditions, page)
        tagged = tags.of_many(tx, caller.account, [each.id for each in found])
        return [Described(template=each, tags=tagged.get(each.id, {})) for each in found]


def describe_versions(
    svc: Services, caller: Caller, which: Which, versions: Sequence[str], least: int, most: int
) -> list[DescribedVersion]:
    """The versions of one template from the newest down: `versions`, or those within bounds."""
    with svc.catalog.read() as tx:
        template = launch_templates.fetch_owned(tx, caller, which)
        kept = launch_templates.numbers(tx, template.id)
        wanted = [number for number in kept if least <= number <= most]
        if versions:
            wanted = [chosen(each, template, kept) for each in versions]
        found = launch_templates.fetch_versions(tx, template.id, list(dict.fromkeys(wanted)))
        return [DescribedVersion(template=template, version=each) for each in found]


def describe_versions_of_all(
    svc: Services, caller: Caller, versions: Sequence[str]
) -> list[DescribedVersion]:
    """The latest and the default versions, as `versions` says, of all the caller's templates."""
    found: list[DescribedVersion] = []
    with svc.catalog.read() as tx:
        for template in launch_templates.describe(tx, caller, (), (), Page()):
            kept = launch_templates.numbers(tx, template.id)
            wanted = list({chosen(each, template, kept) for each in versions})
            found += [
                DescribedVersion(template=template, version=each)
                for each in launch_templates.fetch_versions(tx, template.id, wanted)
            ]
    return found


def fetch_version(
    svc: Services, caller: Caller, which: Which, version: str = DEFAULT
) -> DescribedVersion:
    with svc.catalog.read() as tx:
        return _fetched(tx, caller, which, version)


def modify_launch_template(
    svc: Services, caller: Caller, which: Which, default: str, token: ClientToken | None
) -> Described:
    """Another version is the default from now on."""
    with svc.catalog.begin() as tx:
        if idempotency.earlier(tx, caller, token) is None:
            template = launch_templates.fetch_owned(tx, caller, which)
            kept = launch_templates.numbers(tx, template.id)
            template = template.with_default(chosen(default, template, kept))
            launch_templates.save(tx, template)
            idempotency.remember(tx, caller, token, template.id, svc.clock.now())
        return _described(tx, caller, which)


def delete_launch_template(svc: Services, caller: Caller, which: Which) -> Described:
    """The template with all its versions; the instances that came of it are left alone."""
    with svc.catalog.begin() as tx:
        found = _described(tx, caller, which)
        launch_templates.remove(tx, found.id)
        tags.remove_all(tx, found.id)
        return found


def delete_launch_template_versions(
    svc: Services, caller: Caller, which: Which, numbers: Sequence[int]
) -> tuple[LaunchTemplate, Mapping[int, EC2Error | None]]:
    """Version → None when it was deleted, else why not. The default version refuses them all."""
    with svc.catalog.begin() as tx:
        template = launch_templates.fetch_owned(tx, caller, which)
        if template.default_version in numbers:
            raise InvalidParameterValue(
                "Cannot delete the default version of the launch template: make another version"
                " the default, or delete the template."
            )
        outcome: dict[int, EC2Error | None] = {}
        for number in dict.fromkeys(numbers):
            gone = launch_templates.remove_version(tx, template.id, number)
            outcome[number] = None if gone else version_not_found(template.id, number)
        kept = launch_templates.numbers(tx, template.id)
        launch_templates.save(tx, template.with_versions(kept))
        return template, outcome


def _described(tx: Transaction, caller: Caller, which: Which) -> Described:
    template = launch_templates.fetch_owned(tx, caller, which)
    return Described(template=template, tags=tags.of_one(tx, caller.account, template.id))


def _fetched(tx: Transaction, caller: Caller, which: Which, version: str) -> DescribedVersion:
    template = launch_templates.fetch_owned(tx, caller, which)
    number = chosen(version, template, launch_templates.numbers(tx, template.id))
    (found,) = launch_templates.fetch_versions(tx, template.id, [number])
    return DescribedVersion(template=template, version=found)
