"""Ids are long, for everybody and for good."""

from pathlib import Path

from support.asking import ask, refused
from support.builders import ALICE, BOB
from support.fakes import services

ROOT = f"arn:aws:iam::{ALICE}:root"


def test_ids_of_every_type_are_long(tmp_path: Path) -> None:
    svc = services(tmp_path)
    assert ask(svc, "DescribeAggregateIdFormat")["UseLongIdsAggregated"] is True
    for asked in ("DescribeIdFormat", "DescribeAggregateIdFormat"):
        told = ask(svc, asked)["Statuses"]
        assert {each["UseLongIds"] for each in told} == {True}
        assert {"image", "snapshot", "volume"} <= {each["Resource"] for each in told}
    (told,) = ask(svc, "DescribeIdFormat", Resource="volume")["Statuses"]
    assert told == {"Resource": "volume", "UseLongIds": True}
    with refused("InvalidParameterValue"):
        ask(svc, "DescribeIdFormat", Resource="moon")


def test_ids_are_long_for_each_principal_of_the_account(tmp_path: Path) -> None:
    svc = services(tmp_path)
    for principal in (ROOT, f"arn:aws:iam::{ALICE}:user/ci", f"arn:aws:iam::{ALICE}:role/a/b"):
        (told,) = ask(svc, "DescribeIdentityIdFormat", PrincipalArn=principal, Resource="image")[
            "Statuses"
        ]
        assert told == {"Resource": "image", "UseLongIds": True}
    (root,) = ask(svc, "DescribePrincipalIdFormat", Resources=["image"])["Principals"]
    assert root == {"Arn": ROOT, "Statuses": [{"Resource": "image", "UseLongIds": True}]}
    for principal in (f"arn:aws:iam::{BOB}:root", "root", "all"):
        with refused("InvalidParameterValue"):
            ask(svc, "DescribeIdentityIdFormat", PrincipalArn=principal)


def test_ids_cannot_be_made_short_again(tmp_path: Path) -> None:
    svc = services(tmp_path)
    assert ask(svc, "ModifyIdFormat", Resource="image", UseLongIds=True) == {}
    with refused("UnsupportedOperation"):
        ask(svc, "ModifyIdFormat", Resource="image", UseLongIds=False)
    for principal in ("all", ROOT):
        asked = {"Resource": "image", "PrincipalArn": principal}
        assert ask(svc, "ModifyIdentityIdFormat", **asked, UseLongIds=True) == {}
        with refused("UnsupportedOperation"):
            ask(svc, "ModifyIdentityIdFormat", **asked, UseLongIds=False)
    with refused("InvalidParameterValue"):
        ask(svc, "ModifyIdFormat", Resource="moon", UseLongIds=True)
