"""What the catalog recalls without asking: only what still holds, whoever changed it."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from openami.catalog import accounts
from openami.catalog.catalog import Catalog, Transaction
from openami.catalog.memory import KNOWN_MAX
from openami.catalog.schema import metadata
from openami.domain.account import AccessKey, Account
from openami.domain.ids import AccountId
from support.builders import ALICE, EPOCH

KEY = AccessKey(id="AKIDALICE", account=ALICE, secret="secret", created_at=EPOCH)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog.open(tmp_path / "catalog.sqlite")
    metadata.create_all(made.engine)
    with made.begin() as tx:
        accounts.add_key(tx, KEY)
    yield made
    made.close()


class Asked:
    """Counts how often the catalog was read."""

    def __init__(self) -> None:
        self.times = 0

    def key(self, tx: Transaction, key_id: str) -> AccessKey | None:
        self.times += 1
        return accounts.find_key(tx, key_id)


def test_what_nobody_changes_is_read_once(catalog: Catalog) -> None:
    asked = Asked()
    for _ in range(3):
        assert catalog.recall(asked.key, KEY.id) == KEY
    assert asked.times == 1


def test_what_is_not_there_is_looked_for_each_time(catalog: Catalog) -> None:
    asked = Asked()
    for _ in range(3):
        assert catalog.recall(asked.key, "AKIDNOBODY") is None
    assert asked.times == 3


def test_what_was_committed_here_is_known_at_once(catalog: Catalog) -> None:
    assert catalog.recall(accounts.find_key, KEY.id) == KEY
    with catalog.begin() as tx:
        accounts.deactivate_key(tx, KEY.id)
        assert catalog.recall(accounts.find_key, KEY.id) == KEY, "it is not committed yet"
    assert catalog.recall(accounts.find_key, KEY.id) is None


def test_what_another_process_committed_is_known_at_once(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.recall(accounts.find_key, KEY.id) == KEY
    script = (
        "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]);"
        " it.execute('UPDATE access_key SET active = 0'); it.commit()"
    )
    file = tmp_path / "catalog.sqlite"
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    assert catalog.recall(accounts.find_key, KEY.id) is None


def test_a_dry_run_recalls_what_the_catalog_itself_does(catalog: Catalog) -> None:
    assert catalog.dry_run().recall(accounts.find_key, KEY.id) == KEY
    with catalog.begin() as tx:
        accounts.deactivate_key(tx, KEY.id)
    assert catalog.dry_run().recall(accounts.find_key, KEY.id) is None


def test_a_catalog_in_memory_remembers_nothing() -> None:
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        accounts.add_key(tx, KEY)
    assert catalog.recall(accounts.find_key, KEY.id) == KEY
    with catalog.begin() as tx:
        accounts.deactivate_key(tx, KEY.id)
    assert catalog.recall(accounts.find_key, KEY.id) is None


def test_it_does_not_grow_without_end(catalog: Catalog) -> None:
    def same(_tx: Transaction, number: int) -> int:
        return number

    asked = Asked()
    catalog.recall(asked.key, KEY.id)
    for number in range(KNOWN_MAX):
        assert catalog.recall(same, number) == number
    catalog.recall(asked.key, KEY.id)
    assert asked.times == 2


def test_nobody_is_told_what_held_before_a_commit_that_it_knows_of(catalog: Catalog) -> None:
    """One thread commits numbers that grow and tells each; others never recall a smaller one."""
    told, over = [0], Event()

    def count(tx: Transaction, _key: str) -> int:
        return len(accounts.everyone(tx))

    def write() -> None:
        try:
            for number in range(1, 101):
                with catalog.begin() as tx:
                    accounts.add(
                        tx,
                        Account(id=AccountId(f"{number:012d}"), name=f"{number}", created_at=EPOCH),
                    )
                told[0] = number
        finally:
            over.set()

    def look() -> list[tuple[int, int]]:
        """What was told before each recollection, and the recollection."""
        seen: list[tuple[int, int]] = []
        while not over.is_set():
            least = told[0]
            seen.append((least, catalog.recall(count, "") or 0))
        return seen

    with ThreadPoolExecutor(5) as threads:
        looking = [threads.submit(look) for _ in range(4)]
        threads.submit(write).result()
        for each in looking:
            assert [(least, found) for least, found in each.result() if found < least] == []
    assert catalog.recall(count, "") == 100
