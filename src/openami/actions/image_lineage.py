"""Where an image comes from and what it is for: ancestry, watermarks, instance types."""

from collections.abc import Sequence
from typing import Final

from openami.catalog import image_facts, images
from openami.catalog.image_facts import Ancestor as Ancestor
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, OperationNotPermitted
from openami.domain.ids import ImageId
from openami.domain.instance_types.specification import InstanceTypeSpecification
from openami.domain.watermark import WATERMARKS_MAX, Watermark, watermark_key
from openami.services import Services

ANCESTORS_MAX: Final = 50


def get_image_ancestry(svc: Services, caller: Caller, image_id: ImageId) -> Sequence[Ancestor]:
    """The image, its parent, its parent's parent: those too that are gone or not to be seen.

    Raises ImageNotFound, ImageUnavailable for an image that the caller does not see itself.
    """
    with svc.catalog.read() as tx:
        images.fetch_visible(tx, image_id, caller.account, caller.region)
        return image_facts.ancestors(tx, image_id, ANCESTORS_MAX)


def attach_image_watermark(svc: Services, caller: Caller, image_id: ImageId, name: str) -> str:
    """The key of the watermark. One that the image has already stays as it is.

    Raises OperationNotPermitted for a public image, ResourceLimitExceeded.
    """
    key = watermark_key(caller.account, name)
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        if image.public:
            raise OperationNotPermitted(
                f"The image '{image_id}' is public: watermarks are for images that are not."
            )
        if any(mark.key == key for mark in image.watermarks):
            return key
        if len(image.watermarks) >= WATERMARKS_MAX:
            raise EC2Error.of(
                "ResourceLimitExceeded",
                f"The image '{image_id}' has {WATERMARKS_MAX} watermarks, the most there may be.",
            )
        mark = Watermark(
            key=key,
            source_image_id=image.id,
            source_image_region=image.region,
            source_image_created_at=image.created_at,
            attached_at=svc.clock.now(),
        )
        image_facts.attach(tx, image_id, [mark])
    return key


def detach_image_watermark(svc: Services, caller: Caller, image_id: ImageId, key: str) -> None:
    """The image has it no more; images made of it keep theirs."""
    with svc.catalog.begin() as tx:
        images.fetch_owned(tx, image_id, caller.account, caller.region)
        image_facts.detach(tx, image_id, key)


def replace_image_instance_type_specification(
    svc: Services, caller: Caller, image_id: ImageId, specification: InstanceTypeSpecification
) -> None:
    """From now on launches heed it; what runs is left alone."""
    with svc.catalog.begin() as tx:
        images.fetch_owned(tx, image_id, caller.account, caller.region)
        image_facts.specify(tx, image_id, specification)
