"""openami org: organizations, units and the accounts in them."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openami.actions import organizations
from openami.catalog.catalog import Transaction
from openami.domain.organization import OrganizationTree, is_organization_arn, is_unit_arn
from openami.services import Services
from support.asking import put_accounts, refused
from support.builders import ALICE, BOB, CAROL
from support.fakes import CountingIds, services


@contextmanager
def changing(tmp_path: Path) -> Generator[tuple[Services, Transaction]]:
    svc = services(tmp_path)
    put_accounts(svc, ALICE, BOB, CAROL)
    with svc.catalog.begin() as tx:
        yield svc, tx


def only(tx: Transaction) -> OrganizationTree:
    (tree,) = organizations.list_organizations(tx)
    return tree


def test_ids_and_arns_have_the_form_of_aws(tmp_path: Path) -> None:
    with changing(tmp_path) as (svc, tx):
        top = organizations.create_organization(tx, svc.clock, svc.ids, f"account {ALICE}")
        unit = organizations.create_unit(tx, svc.ids, top.arn, "web")
        assert is_organization_arn(top.arn)
        assert not is_organization_arn(unit)
        assert is_unit_arn(unit)
        assert not is_unit_arn(top.arn)
        assert unit.split("/")[1] == top.id
        assert unit.startswith(f"arn:aws:organizations::{ALICE}:ou/")


def test_an_account_is_in_one_organization_and_in_one_place_of_it(tmp_path: Path) -> None:
    with changing(tmp_path) as (svc, tx):
        first = organizations.create_organization(tx, svc.clock, svc.ids, ALICE)
        unit = organizations.create_unit(tx, svc.ids, first.id, "web")
        second = organizations.create_organization(tx, svc.clock, svc.ids, CAROL)
        organizations.add_account(tx, BOB, first.root_id)
        organizations.add_account(tx, BOB, unit)
        tree = next(each for each in organizations.list_organizations(tx) if BOB in each.members)
        assert tree.organization == first
        assert tree.memberships(BOB) == {first.arn, unit}
        assert tree.memberships(CAROL) == frozenset()
        with refused("InvalidParameterValue", f"{BOB} is in {first.id} already"):
            organizations.add_account(tx, BOB, second.id)
        with refused("InvalidParameterValue"):
            organizations.create_organization(tx, svc.clock, svc.ids, BOB)


def test_what_is_not_empty_stays(tmp_path: Path) -> None:
    with changing(tmp_path) as (svc, tx):
        top = organizations.create_organization(tx, svc.clock, svc.ids, ALICE)
        unit = organizations.create_unit(tx, svc.ids, top.id, "web").rpartition("/")[2]
        organizations.add_account(tx, BOB, unit)
        for what in (top.id, unit, ALICE, CAROL, "nobody"):
            with refused("InvalidParameterValue"):
                organizations.remove(tx, what)
        organizations.remove(tx, BOB)
        organizations.remove(tx, unit)
        assert only(tx) == OrganizationTree(organization=top, members={ALICE: top.root_id})
        organizations.remove(tx, top.id)
        assert organizations.list_organizations(tx) == []


@pytest.mark.parametrize("name", ["", "web", "n" * 129])
def test_a_units_name_is_refused(tmp_path: Path, name: str) -> None:
    with changing(tmp_path) as (svc, tx):
        top = organizations.create_organization(tx, svc.clock, svc.ids, ALICE)
        organizations.create_unit(tx, svc.ids, top.id, "web")
        with refused("InvalidParameterValue"):
            organizations.create_unit(tx, svc.ids, top.id, name)
        with refused("InvalidParameterValue", "no organization or unit"):
            organizations.create_unit(tx, CountingIds(), "o-0123456789", "shop")
