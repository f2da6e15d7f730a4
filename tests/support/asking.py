"""Operations called as the pipeline calls them, without HTTP: wire names in, wire names out."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from openami.catalog import accounts, images, snapshots, volumes
from openami.domain.account import Account
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Region
from openami.domain.image import Image
from openami.domain.snapshot import Snapshot
from openami.domain.volume import Volume
from openami.ec2.operations import OPERATIONS
from openami.services import Services
from support.builders import ALICE, HERE, IMAGE, a_caller, a_snapshot, an_image
from support.model_check import held


def ask(
    svc: Services, operation: str, account: AccountId = ALICE, region: Region = HERE, **request: Any
) -> dict[str, Any]:
    """The answer of an operation, which must be as EC2's model has it. Raises EC2Error."""
    asked = {name: value for name, value in request.items() if value is not None}
    return held("ec2", operation, OPERATIONS[operation](svc, a_caller(account, region), asked))


@contextmanager
def refused(code: str, *words: str) -> Generator[None]:
    """The block must be refused with this code and a sentence that has these words."""
    with pytest.raises(EC2Error) as caught:
        yield
    assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
    for word in words:
        assert word in str(caught.value)


def put(svc: Services, *nouns: Image | Snapshot | Volume) -> None:
    """Write nouns into the catalog as they are."""
    with svc.catalog.begin() as tx:
        for noun in nouns:
            match noun:
                case Image():
                    images.add(tx, noun)
                case Snapshot():
                    snapshots.add(tx, noun)
                case Volume():
                    volumes.add(tx, noun)


def put_accounts(svc: Services, *ids: AccountId) -> None:
    with svc.catalog.begin() as tx:
        for each in ids:
            accounts.add(tx, Account(id=each, name=f"account {each}", created_at=svc.clock.now()))


def filtered(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]


def a_bootable_image(svc: Services) -> Image:
    """An image of the tests, with its snapshot, in the catalog."""
    image = an_image(boot_mode="legacy-bios")
    put(svc, a_snapshot(), image)
    return image


def a_running_instance(svc: Services, **request: Any) -> str:
    """The id of an instance of the image, launched."""
    given: dict[str, Any] = {"ImageId": IMAGE, "InstanceType": "t3.micro"}
    answer = ask(svc, "RunInstances", **(given | request), MinCount=1, MaxCount=1)
    return str(answer["Instances"][0]["InstanceId"])
