"""Who may see an image is written twice, once pure and once in SQL. They must agree."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from openami.catalog import images
from openami.catalog.catalog import Catalog
from openami.catalog.schema import images as image_table
from openami.domain.block_device import BlockDeviceMapping
from openami.domain.image import Image, ImageState
from openami.domain.state_reason import StateReason
from support.builders import ALICE, BOB, HERE, a_device, an_image

some_image = st.builds(
    an_image,
    owner=st.sampled_from([ALICE, BOB]),
    state=st.sampled_from(ImageState),
    public=st.booleans(),
    shared_with=st.frozensets(st.sampled_from([ALICE, BOB])),
    description=st.none() | st.text(),
    state_reason=st.none() | st.builds(StateReason, code=st.text(), message=st.text()),
    block_device_mappings=st.sampled_from(
        [
            (),
            (a_device(),),
            (a_device(), BlockDeviceMapping(device_name="xvdb", virtual_name="ephemeral0")),
        ]
    ),
)


@given(image=some_image)
def test_the_query_and_the_rule_agree(image: Image) -> None:
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        images.add(tx, image)
        for account in (ALICE, BOB):
            found = tx.scalar(select(image_table.c.id).where(images.visible_to(account)))
            assert (found == image.id) == image.visible_to(account)
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
