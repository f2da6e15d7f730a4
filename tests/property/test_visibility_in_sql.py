"""Who may see an image is written twice, once pure and once in SQL. They must agree."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from openami.catalog import images, organizations
from openami.catalog.catalog import Catalog
from openami.catalog.schema import images as image_table
from openami.catalog.schema import organization_memberships
from openami.domain.allowed_images import AllowedImagesSettings
from openami.domain.block_device import BlockDeviceMapping
from openami.domain.filter import Page
from openami.domain.ids import AccountId, OrganizationId
from openami.domain.image import Image, ImageState
from openami.domain.image_retirement import DeregistrationProtection
from openami.domain.organization import Organization, OrganizationTree, Unit
from openami.domain.state_reason import StateReason
from support.builders import ALICE, BOB, CAROL, EPOCH, HERE, a_caller, a_device, an_image

ORGANIZATION = Organization(
    id=OrganizationId("o-0123456789"), management_account=ALICE, created_at=EPOCH
)
ROOT = ORGANIZATION.root_id
WEB, SHOP, OTHER = "ou-6789-0000000a", "ou-6789-0000000b", "ou-6789-0000000c"
UNITS = tuple(
    Unit(id=unit_id, organization_id=ORGANIZATION.id, parent_id=parent_id, name=unit_id)
    for unit_id, parent_id in ((WEB, ROOT), (SHOP, WEB), (OTHER, ROOT))
)
EMPTY = OrganizationTree(organization=ORGANIZATION, units=UNITS)
ARNS = [ORGANIZATION.arn, *(EMPTY.arn_of(unit.id) for unit in UNITS)]

some_members = st.dictionaries(
    st.sampled_from([ALICE, BOB]), st.sampled_from([ROOT, WEB, SHOP, OTHER])
)
LISTED = (ImageState.PENDING, ImageState.AVAILABLE, ImageState.FAILED)
some_moment = st.datetimes(datetime(2021, 6, 1), datetime(2026, 6, 1)).map(
    lambda moment: moment.replace(tzinfo=EPOCH.tzinfo)
)
some_image = st.builds(
    an_image,
    owner=st.sampled_from([ALICE, BOB]),
    state=st.sampled_from(ImageState),
    public=st.booleans(),
    shared_with=st.frozensets(st.sampled_from([ALICE, BOB])),
    shared_with_organizations=st.frozensets(st.sampled_from(ARNS)),
    description=st.none() | st.text(),
    created_at=some_moment,
    deprecated_at=st.none() | some_moment,
    deregistration_protection=st.sampled_from(DeregistrationProtection),
    protected_until=st.none() | some_moment,
    state_reason=st.none() | st.builds(StateReason, code=st.text(), message=st.text()),
    block_device_mappings=st.sampled_from(
        [
            (),
            (a_device(),),
            (a_device(), BlockDeviceMapping(device_name="xvdb", virtual_name="ephemeral0")),
        ]
    ),
)


@given(image=some_image, members=some_members)
def test_the_query_and_the_rule_agree(image: Image, members: dict[AccountId, str]) -> None:
    tree = OrganizationTree(organization=ORGANIZATION, units=UNITS, members=members)
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        organizations.save(tx, tree)
        images.add(tx, image)
        for account in (ALICE, BOB, CAROL):
            found = tx.scalar(select(image_table.c.id).where(images.visible_to(account)))
            seen = image.visible_to(account, tree.memberships(account))
            assert (found == image.id) == seen
    catalog.close()


@given(members=some_members, moved=some_members)
def test_an_organization_comes_back_as_it_was_last_stored(
    members: dict[AccountId, str], moved: dict[AccountId, str]
) -> None:
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        for each in (members, moved):
            tree = OrganizationTree(organization=ORGANIZATION, units=UNITS, members=each)
            organizations.save(tx, tree)
            assert organizations.everything(tx) == [tree]
            rows = tx.execute(select(organization_memberships)).all()
            counted = {(account, arn) for account in each for arn in tree.memberships(account)}
            assert {(row.account, row.arn) for row in rows} == counted
    catalog.close()


@given(image=some_image)
def test_a_stranger_s_listing_leaves_out_what_the_rule_calls_deprecated(image: Image) -> None:
    catalog = Catalog.in_memory()
    page = Page(limit=None, after=None)
    with catalog.begin() as tx:
        images.add(tx, image)
        for now in (EPOCH, EPOCH + timedelta(days=731), image.deprecation_time or EPOCH):
            told = images.describe(
                tx, a_caller(CAROL), images.Scope(), (), page, now, AllowedImagesSettings()
            )
            out_of_date = image.deprecation_time is not None and image.deprecation_time <= now
            listed = image.public and not out_of_date and image.state in LISTED
            assert told == ([image] if listed else [])
    catalog.close()


@given(image=some_image)
def test_an_image_comes_back_as_it_was_stored(image: Image) -> None:
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        images.add(tx, image)
        assert images.fetch_any(tx, image.id) == image
        images.save(tx, image)
        assert images.fetch_any(tx, image.id) == image
        assert image.region == HERE
    catalog.close()
