"""The operator's public catalogue: images of accounts with an alias, found by public parameters."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from openami.actions import parameters
from openami.actions.accounts import create_account
from openami.catalog import accounts, images
from openami.catalog.catalog import Transaction
from openami.domain.account import ALIASES, Account
from openami.domain.caller import Caller
from openami.domain.errors import (
    ImageNotFound,
    ImageUnavailable,
    InvalidParameterCombination,
    InvalidParameterValue,
)
from openami.domain.ids import Clock, ImageId, parse_image_id
from openami.domain.image import ImageState
from openami.domain.parameter import IMAGE_TYPE, PUBLIC_PREFIX, ParameterType, check_name
from openami.services import Services


def account_of_alias(tx: Transaction, clock: Clock, alias: str) -> Account:
    """The account that stands behind the alias, made when first asked for."""
    if alias not in ALIASES:
        raise InvalidParameterValue(f"'{alias}' is no owner alias: {', '.join(ALIASES)}")
    found = next((each for each in accounts.everyone(tx) if each.alias == alias), None)
    return create_account(tx, clock, alias, alias=alias) if found is None else found


def check_parameter_name(name: str) -> None:
    """Raises ValidationException, InvalidParameterValue."""
    check_name(name, public=True)
    if not name.startswith(PUBLIC_PREFIX):
        raise InvalidParameterValue(f"The name of a public parameter begins with {PUBLIC_PREFIX}")


def publish(svc: Services, image_id: ImageId, parameter_name: str | None) -> None:
    """Make the image everybody's to launch; from now on the parameter names it.

    Raises InvalidParameterCombination for an image of an account without an alias.
    """
    if parameter_name is not None:
        check_parameter_name(parameter_name)
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, image_id)
        if image is None:
            raise ImageNotFound(image_id)
        if image.state is not ImageState.AVAILABLE:
            raise ImageUnavailable(image_id)
        owner = accounts.find(tx, image.owner)
        if owner is None or owner.alias is None:
            raise InvalidParameterCombination(
                f"The owner of {image_id} has no alias: import it with --alias, or copy it as the"
                " account of one."
            )
        images.save(tx, replace(image, public=True))
        if parameter_name is not None:
            publisher = Caller(
                account=image.owner, region=image.region, request_id=svc.ids.request_id()
            )
            asked = parameters.Put(
                name=parameter_name,
                value=image.id,
                kind=ParameterType.STRING,
                data_type=IMAGE_TYPE,
                overwrite=True,
            )
            parameters.put(svc, tx, publisher, asked)


def from_operator(svc: Services, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The verb `publish-image` of the operator's door. Raises EC2Error."""
    image_id = parse_image_id(str(request["image_id"]))
    name = request.get("ssm_parameter")
    publish(svc, image_id, None if name is None else str(name))
    return {"image_id": image_id}
