"""A manifest is a mapping from block to digest: held against a dict, which is one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.blockstore import codec
from openami.blockstore.manifest import Change, Manifests, digests_array
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkCorrupt, ChunkLost, Kind
from openami.domain.block import HOLE, Digest
from openami.domain.manifest import Root, depth_of

# Around the sizes at which the tree grows a level, and one of 16 TiB.
SIZES = st.sampled_from([1, 2, 255, 256, 257, 65535, 65536, 65537, 300_000, 1 << 25])


def some_digest(number: int) -> Digest:
    return codec.digest_of(number.to_bytes(8, "big"))


DIGESTS = st.integers(0, 9).map(lambda n: HOLE if n == 0 else some_digest(n))


@st.composite
def disks(draw: st.DrawFn) -> tuple[int, dict[int, Digest]]:
    blocks = draw(SIZES)
    return blocks, draw(changes(blocks))


def changes(blocks: int) -> st.SearchStrategy[dict[int, Digest]]:
    near = st.one_of(
        st.integers(0, blocks - 1),
        st.integers(0, min(blocks - 1, 600)),
        st.integers(max(0, blocks - 300), blocks - 1),
    )
    return st.dictionaries(near, DIGESTS, max_size=40)


def without_holes(disk: dict[int, Digest]) -> dict[int, Digest]:
    return {index: digest for index, digest in sorted(disk.items()) if digest != HOLE}


def tree_of(
    manifests: Manifests, store: MemoryChunkStore, blocks: int, disk: dict[int, Digest]
) -> Root:
    with store.writer() as writer:
        return manifests.update(writer, Root.empty(blocks), disk)


@given(disks(), st.data())
@settings(deadline=None)
def test_a_tree_holds_what_was_put_in_and_nothing_else(
    made: tuple[int, dict[int, Digest]], data: st.DataObject
) -> None:
    blocks, disk = made
    store = MemoryChunkStore()
    manifests = Manifests(store)
    root = tree_of(manifests, store, blocks, disk)
    assert dict(manifests.iterate(root)) == without_holes(disk)
    assert [index for index, _ in manifests.iterate(root)] == sorted(without_holes(disk))
    for index in [*disk, data.draw(st.integers(0, blocks - 1))]:
        assert manifests.lookup(root, index) == disk.get(index, HOLE)


@given(disks(), st.data())
@settings(deadline=None)
def test_a_run_goes_on_in_kind_and_begins_with_its_block(
    made: tuple[int, dict[int, Digest]], data: st.DataObject
) -> None:
    blocks, disk = made
    store = MemoryChunkStore()
    manifests = Manifests(store)
    root = tree_of(manifests, store, blocks, disk)
    full = without_holes(disk)
    for index in [*disk, data.draw(st.integers(0, blocks - 1))]:
        digest, end = manifests.run(root, index)
        assert digest == disk.get(index, HOLE)
        assert index < end <= blocks
        if digest == HOLE:
            assert not any(index <= each < end for each in full)
        else:
            assert all(each in full for each in range(index, end))


@given(disks(), st.data())
@settings(deadline=None)
def test_the_same_disk_has_the_same_root_whatever_its_history(
    made: tuple[int, dict[int, Digest]], data: st.DataObject
) -> None:
    blocks, before = made
    store = MemoryChunkStore()
    manifests = Manifests(store)
    patch = data.draw(changes(blocks))
    root = tree_of(manifests, store, blocks, before)
    with store.writer() as writer:
        stepwise = manifests.update(writer, root, patch)
    assert stepwise == tree_of(manifests, store, blocks, before | patch)


@given(disks(), st.data())
@settings(deadline=None)
def test_a_diff_is_what_differs(made: tuple[int, dict[int, Digest]], data: st.DataObject) -> None:
    blocks, before = made
    store = MemoryChunkStore()
    manifests = Manifests(store)
    grown = data.draw(SIZES.filter(lambda size: size >= blocks))
    after = before | data.draw(changes(grown))
    a = tree_of(manifests, store, blocks, before)
    b = tree_of(manifests, store, grown, after)
    expected = [
        Change(index=i, before=before.get(i, HOLE), after=after.get(i, HOLE))
        for i in sorted(before | after)
        if before.get(i, HOLE) != after.get(i, HOLE)
    ]
    assert list(manifests.diff(a, b)) == expected
    assert [(c.index, c.after, c.before) for c in manifests.diff(b, a)] == [
        (c.index, c.before, c.after) for c in expected
    ]
    start = data.draw(st.one_of(st.integers(0, grown + 1), st.sampled_from([0, *after])))
    assert list(manifests.diff(a, b, start)) == [c for c in expected if c.index >= start]
    there = [each for each in without_holes(after).items() if each[0] >= start]
    assert list(manifests.iterate(b, start)) == there


@given(disks(), st.data())
@settings(deadline=None)
def test_a_grown_disk_is_the_disk_with_holes_after_it(
    made: tuple[int, dict[int, Digest]], data: st.DataObject
) -> None:
    blocks, disk = made
    store = MemoryChunkStore()
    manifests = Manifests(store)
    grown = data.draw(SIZES.filter(lambda size: size >= blocks))
    small = tree_of(manifests, store, blocks, disk)
    with store.writer() as writer:
        large = manifests.resized(writer, small, grown)
    assert large == tree_of(manifests, store, grown, disk)


@given(st.lists(DIGESTS, min_size=1, max_size=700))
@settings(deadline=None)
def test_building_from_a_list_is_updating_an_empty_disk(digests: list[Digest]) -> None:
    store = MemoryChunkStore()
    manifests = Manifests(store)
    with store.writer() as writer:
        built = manifests.build(writer, digests_array(digests))
    assert built == tree_of(manifests, store, len(digests), dict(enumerate(digests)))


@given(st.integers(1, 1 << 34), st.binary(min_size=32, max_size=32))
def test_a_root_survives_being_text(blocks: int, digest: bytes) -> None:
    root = Root(digest=Digest(digest), blocks=blocks)
    assert Root.from_text(root.to_text()) == root


@pytest.mark.parametrize("text", ["", "b3:", "b3:00:1", f"b3:{'0' * 64}:0", f"b3:{'0' * 64}:1\n"])
def test_other_text_is_no_root(text: str) -> None:
    with pytest.raises(ValueError, match="not the root"):
        Root.from_text(text)


@pytest.mark.parametrize(
    ("gib", "depth"), [(1, 2), (32, 2), (33, 3), (8192, 3), (8193, 4), (65536, 4)]
)
def test_the_tree_is_as_deep_as_the_disk_is_large(gib: int, depth: int) -> None:
    assert depth_of(gib * 2048) == depth


def test_a_hundred_changes_in_16_tib_touch_a_few_hundred_pages() -> None:
    store = MemoryChunkStore()
    manifests = Manifests(store)
    blocks = 1 << 25
    dense = {i: some_digest(i) for i in range(0, blocks, 4096)}
    root = tree_of(manifests, store, blocks, dense)
    before = sum(1 for _ in store.digests(Kind.PAGE))
    patch = {i * 331_777 % blocks: some_digest(-i % 2**63) for i in range(1, 101)}
    with store.writer() as writer:
        changed = manifests.update(writer, root, patch)
    written = sum(1 for _ in store.digests(Kind.PAGE)) - before
    assert 100 < written <= 100 + 100 + 100 + 1
    assert len(list(manifests.diff(root, changed))) == 100


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    store = MemoryChunkStore()
    manifests = Manifests(store)
    disk = {i: some_digest(i + 1) for i in range(0, 3000, 7)}
    root = tree_of(manifests, store, 4000, disk)
    with store.writer() as writer:
        writer.put = None  # type: ignore[method-assign,assignment]
        assert manifests.update(writer, root, disk) == root


@pytest.mark.parametrize("index", [-1, 10])
def test_a_block_outside_of_the_disk_is_refused(index: int) -> None:
    store = MemoryChunkStore()
    manifests = Manifests(store)
    with pytest.raises(IndexError), store.writer() as writer:
        manifests.update(writer, Root.empty(10), {index: some_digest(1)})
    with pytest.raises(IndexError):
        manifests.lookup(Root.empty(10), index)


def test_a_disk_does_not_shrink() -> None:
    store = MemoryChunkStore()
    with pytest.raises(ValueError, match="shrink"), store.writer() as writer:
        Manifests(store).resized(writer, Root.empty(10), 9)


@pytest.mark.parametrize("text", [b"", b"\xff" * 31, b"\xff" * 32, b"\x80" + bytes(63 + 32)])
def test_a_page_that_is_none_is_corrupt(text: bytes) -> None:
    store = MemoryChunkStore()
    digest = codec.digest_of(text)
    with store.writer() as writer:
        writer.put(digest, codec.encode(text, Kind.PAGE), Kind.PAGE)
    with pytest.raises(ChunkCorrupt):
        Manifests(store).lookup(Root(digest=digest, blocks=10), 0)


def test_a_missing_page_is_lost_not_a_hole() -> None:
    with pytest.raises(ChunkLost):
        list(Manifests(MemoryChunkStore()).iterate(Root(digest=some_digest(1), blocks=10)))


def test_pages_are_read_once_while_they_are_cached() -> None:
    store = MemoryChunkStore()
    root = tree_of(Manifests(store), store, 600, {i: some_digest(i + 1) for i in range(600)})
    manifests = Manifests(store, pages_cached=2)
    last = manifests.lookup(root, 599)
    for digest in list(store.digests(Kind.PAGE)):
        store.delete(digest, Kind.PAGE)
    assert manifests.lookup(root, 599) == last
    with pytest.raises(ChunkLost):
        manifests.lookup(root, 0)


def test_a_page_in_the_cache_cannot_be_written_to() -> None:
    store = MemoryChunkStore()
    manifests = Manifests(store)
    root = tree_of(manifests, store, 10, {3: some_digest(3)})
    page = manifests._page(root.digest)
    with pytest.raises(ValueError, match="read-only"):
        page[0] = np.zeros(32, np.uint8)
