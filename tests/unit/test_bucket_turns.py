"""A bucket is deleted alone: nothing that was let in before reaches it, or its name, after."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from openami.server.bucket_turns import BucketTurns
from openami.wire.refusal import WireRefusal

SOON_S = 60.0


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, SOON_S))


async def until_waiting(task: "asyncio.Task[None]") -> None:
    """Whatever the task can do without others is done."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()


def test_a_deletion_waits_for_what_is_under_way_and_keeps_others_waiting() -> None:
    async def story() -> None:
        turns, told = BucketTurns(wait_s=SOON_S), list[str]()

        async def delete() -> None:
            async with turns.alone("a"):
                told.append("deleted")

        async def read(*names: str) -> None:
            async with turns.shared(*names):
                told.append("read")

        async with turns.shared("a"):
            deletion = asyncio.create_task(delete())
            await until_waiting(deletion)
            later = asyncio.create_task(read("b", "a"))
            await until_waiting(later)
            await read("b")
            assert told == ["read"]
        await deletion
        await later
        assert told == ["read", "deleted", "read"]

    run(story())


def test_a_deletion_does_not_wait_for_ever() -> None:
    async def story() -> None:
        turns = BucketTurns(wait_s=0.0)
        async with turns.shared("a"):
            with pytest.raises(WireRefusal, match="try again"):
                async with turns.alone("a"):
                    pass
            async with turns.shared("a"):
                pass
        async with turns.alone("a"):
            with pytest.raises(WireRefusal, match="try again"):
                async with turns.alone("a"):
                    pass

    run(story())


def test_after_a_deletion_without_an_answer_there_is_no_other_for_a_while() -> None:
    async def story() -> None:
        turns = BucketTurns()
        async with turns.alone("a"):
            turns.doubt("a")
        with pytest.raises(WireRefusal, match="try again"):
            async with turns.alone("a"):
                pass
        async with turns.shared("a"), turns.alone("b"):
            turns.doubt("b")
            turns.settle("b")
        async with turns.alone("b"):
            pass

    run(story())


def test_a_doubt_ends() -> None:
    async def story() -> None:
        turns = BucketTurns(doubt_s=0.0)
        async with turns.alone("a"):
            turns.doubt("a")
        async with turns.alone("a"):
            pass

    run(story())
