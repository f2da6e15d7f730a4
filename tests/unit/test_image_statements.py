"""What DescribeImages asks of the database: few statements, which SQLite plans once."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from openami.catalog import images
from openami.domain.ids import ImageId, OrganizationArn
from openami.domain.instance_types.specification import InstanceTypeSpecification
from openami.domain.watermark import Watermark
from openami.services import Services
from support.asking import ask, filtered, put
from support.builders import BOB, CAROL, EPOCH, HERE, IMAGE, an_image
from support.fakes import services

MARK = Watermark(
    key="golden",
    source_image_id=IMAGE,
    source_image_region=HERE,
    source_image_created_at=EPOCH,
    attached_at=EPOCH,
)


ARN = OrganizationArn("arn:aws:organizations::111111111111:organization/o-0123456789")


@contextmanager
def selections(svc: Services) -> Generator[list[str]]:
    """The SELECT statements of the block as SQLite ran them, with their values written out."""
    seen: list[str] = []

    def ran(statement: str) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    with closing(svc.catalog.engine.raw_connection()) as only_one:
        connection: Any = only_one.driver_connection
    connection.set_trace_callback(ran)
    try:
        yield seen
    finally:
        connection.set_trace_callback(None)


def test_an_image_on_which_nothing_hangs_takes_three_statements(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    with selections(svc) as seen:
        ask(svc, "DescribeImages", ImageIds=[IMAGE])
    assert len(seen) == 3, seen  # the account's settings, the image, its tags


def test_many_images_take_as_many_statements_as_one(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, *(an_image(id=f"ami-{number:017x}", name=f"web-{number}") for number in range(20)))
    with selections(svc) as seen:
        assert len(ask(svc, "DescribeImages")["Images"]) == 20
    assert len(seen) == 3, seen


def test_no_state_is_bound_in_a_listing(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    bound: list[tuple[str, Any]] = []

    def executed(*said: Any) -> None:
        _connection, _cursor, statement, values, *_ = said
        bound.append((statement, values))

    event.listen(svc.catalog.engine, "before_cursor_execute", executed)
    ask(svc, "DescribeImages", Filters=filtered("name", "debian-12"))
    (_, values) = next(each for each in bound if "FROM image " in each[0])
    assert "debian-12" in values
    assert "deregistered" not in values


def test_each_image_of_many_has_what_hangs_on_it_and_nothing_of_the_others(tmp_path: Path) -> None:
    svc = services(tmp_path)
    types = InstanceTypeSpecification(supported=("t3.*",))
    different: list[dict[str, Any]] = [
        {},
        {"shared_with": frozenset({BOB})},
        {"shared_with": frozenset({BOB, CAROL}), "watermarks": (MARK,)},
        {"shared_with_organizations": frozenset({ARN})},
        {"instance_types": types},
        {"watermarks": (MARK,), "instance_types": types},
    ]
    made = {
        image_id: an_image(id=image_id, name=f"image {number}", **but)
        for number, but in enumerate(different)
        for image_id in [ImageId(f"ami-{number:017x}")]
    }
    put(svc, *made.values())
    with svc.catalog.read() as tx:
        assert images.fetch_many_any(tx, list(made)) == made
