"""What every job engine does, and what only the durable one can."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openami.domain.errors import EC2Error
from openami.jobs.durable import DurableEngine
from openami.jobs.engine import Args, Engine, GiveUp, Job, JobIdTaken, NotRunning, UnknownJob
from openami.jobs.inline import InlineEngine
from openami.jobs.lanes import Lane
from openami.jobs.outage import Outage
from openami.jobs.running import NO_PAUSES, Patience
from support.waiting import until

SOON_S = 60.0
FOR_EVER_S = 3600.0  # who waits for it meets the time limit of a test
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2101, 1, 1, tzinfo=UTC)


class PowerCut(BaseException):
    """Ends a step as a crash would: nothing is recorded."""


@dataclass
class SomeClock:
    """DBOS stamps its records with the real time: a clock is before or after all of them."""

    time: datetime = LONG_AGO

    def now(self) -> datetime:
        return self.time


@dataclass
class Notes:
    """What steps did, in order, and what they should do next."""

    seen: list[str] = field(default_factory=list)
    trouble: dict[str, list[BaseException]] = field(default_factory=dict)

    def step(self, name: str) -> tuple[str, Callable[[Args], None]]:
        def act(args: Args) -> None:
            self.seen.append(f"{name} {args['id']}")
            if self.trouble.get(name):
                raise self.trouble[name].pop(0)

        return name, act

    def give_up(self, args: Args, why: str) -> None:
        self.seen.append(f"gave up {args['id']}: {why}")
        if self.trouble.get("give up"):
            raise self.trouble["give up"].pop(0)

    def job(self, name: str, *steps: str) -> Job:
        return Job(name=name, steps=tuple(map(self.step, steps)), give_up=self.give_up)


Restart = Callable[[], Engine]
Launch = Callable[..., tuple[Engine, Restart]]


@pytest.fixture(params=["inline", "durable"])
def launch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launch]:
    """Launch an engine of some jobs; the second value restarts it over the same records."""
    opened: list[Engine] = []

    def launch_one(*jobs: Job, patience: Patience = NO_PAUSES) -> tuple[Engine, Restart]:
        def fresh() -> Engine:
            engine: Engine = (
                InlineEngine(clock=SomeClock(), patience=patience)
                if request.param == "inline"
                else DurableEngine(tmp_path / "jobs.db", clock=SomeClock(), patience=patience)
            )
            for job in jobs:
                engine.register(job)
            engine.launch()
            opened.append(engine)
            return engine

        def restart() -> Engine:
            opened[-1].close()
            if request.param == "durable":
                return fresh()
            opened[-1].launch()
            return opened[-1]

        return fresh(), restart

    yield launch_one
    for engine in opened:
        engine.close()


def start_through_a_power_cut(engine: Engine, name: str, job_id: str) -> None:
    with contextlib.suppress(PowerCut):
        engine.start(name, job_id, {"id": job_id})


def test_steps_run_in_order_and_then_the_job_has_ended(launch: Launch) -> None:
    notes = Notes()
    engine, _ = launch(notes.job("boot", "a", "b", "c"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "b i-1", "c i-1"]
    assert engine.active() == set()
    assert engine.known("i-1")


def test_a_known_id_is_not_started_again(launch: Launch) -> None:
    notes = Notes()
    engine, restart = launch(notes.job("boot", "a"))
    for _ in range(3):
        engine.start("boot", "i-1", {"id": "i-1"})
        assert engine.wait("i-1", SOON_S)
    engine = restart()
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1"]


def test_an_unknown_id_has_not_ended_and_is_not_waited_for(launch: Launch) -> None:
    engine, _ = launch(Notes().job("boot", "a"))
    assert not engine.wait("i-never", FOR_EVER_S)
    assert not engine.known("i-never")


def test_a_job_that_is_not_registered_is_refused(launch: Launch) -> None:
    engine, _ = launch(Notes().job("boot", "a"))
    with pytest.raises(UnknownJob):
        engine.start("halt", "i-1", {})
    assert not engine.known("i-1")


def test_an_id_of_another_job_is_refused(launch: Launch) -> None:
    notes = Notes()
    engine, _ = launch(notes.job("boot", "a"), notes.job("halt", "z"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    with pytest.raises(JobIdTaken):
        engine.start("halt", "i-1", {"id": "i-1"})
    assert notes.seen == ["a i-1"]


def test_steps_see_the_same_args_before_and_after_a_restart(launch: Launch) -> None:
    seen: list[Args] = []

    def look(args: Args) -> None:
        seen.append(args)
        if len(seen) == 1:
            raise PowerCut

    engine, restart = launch(Job(name="boot", steps=(("look", look),), give_up=Notes().give_up))
    with contextlib.suppress(PowerCut):
        engine.start("boot", "i-1", {"text": "é", "n": 1, "on": True, "no": None, "l": ("a", "b")})
    until(lambda: seen)
    assert not engine.wait("i-1", 0.2)
    assert restart().wait("i-1", SOON_S)
    assert seen == [{"text": "é", "n": 1, "on": True, "no": None, "l": ["a", "b"]}] * 2


def test_args_that_are_not_json_are_refused_before_anything_is_recorded(launch: Launch) -> None:
    engine, _ = launch(Notes().job("boot", "a"))
    with pytest.raises(TypeError):
        engine.start("boot", "i-1", {"when": LONG_AGO})  # type: ignore[dict-item]
    assert not engine.known("i-1")


def test_a_failing_step_is_tried_again_and_finished_steps_are_not(launch: Launch) -> None:
    notes = Notes(trouble={"b": [OSError("busy"), OSError("busy")]})
    engine, _ = launch(notes.job("boot", "a", "b", "c"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "b i-1", "b i-1", "b i-1", "c i-1"]


def test_a_step_that_always_fails_is_given_up_without_telling_the_callers_why_in_detail(
    launch: Launch, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes(trouble={"a": [OSError("/secret/path")] * 9})
    engine, _ = launch(notes.job("boot", "a", "b"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen[:5] == ["a i-1"] * 5
    assert notes.seen[5:] == ["gave up i-1: Internal error in step 'a' (OSError)"]
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert len(tracebacks) == 1


def test_a_step_that_gives_up_is_not_tried_again(launch: Launch) -> None:
    notes = Notes(trouble={"a": [GiveUp("no such disk")]})
    engine, _ = launch(notes.job("boot", "a", "b"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "gave up i-1: no such disk"]


def test_a_refusal_is_final_and_its_sentence_is_the_reason(launch: Launch) -> None:
    notes = Notes(trouble={"b": [EC2Error.of("IncorrectState", "It is gone.")]})
    engine, _ = launch(notes.job("boot", "a", "b", "c"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "b i-1", "gave up i-1: It is gone."]


def test_giving_up_is_tried_again_whatever_it_raises(launch: Launch) -> None:
    notes = Notes(trouble={"a": [GiveUp("no")], "give up": [OSError("busy"), GiveUp("never")]})
    engine, _ = launch(notes.job("boot", "a"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", *["gave up i-1: no"] * 3]


def test_a_job_that_cannot_give_up_stays_active_and_gives_up_after_a_restart(
    launch: Launch,
) -> None:
    notes = Notes(trouble={"a": [GiveUp("no")], "give up": [OSError("disk full")] * 5})
    engine, restart = launch(notes.job("boot", "a"))
    engine.start("boot", "i-1", {"id": "i-1"})
    until(lambda: notes.seen == ["a i-1", *["gave up i-1: no"] * 5])
    assert not engine.wait("i-1", 0.2)
    assert engine.active() == {"i-1"}
    engine = restart()
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", *["gave up i-1: no"] * 6]


def test_after_a_crash_a_job_goes_on_at_the_step_that_had_not_finished(launch: Launch) -> None:
    notes = Notes(trouble={"b": [PowerCut()]})
    engine, restart = launch(notes.job("boot", "a", "b", "c"))
    start_through_a_power_cut(engine, "boot", "i-1")
    until(lambda: notes.seen == ["a i-1", "b i-1"])
    assert not engine.wait("i-1", 0.2)
    assert engine.active() == {"i-1"}
    engine = restart()
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "b i-1", "b i-1", "c i-1"]
    assert engine.active() == set()


def test_what_comes_afterwards_comes_once_whatever_became_of_the_job(launch: Launch) -> None:
    notes = Notes(trouble={"b": [GiveUp("no")]})
    after: list[str] = []

    def look_back(args: Args) -> None:
        after.append(str(args["id"]))
        raise OSError("which is logged, and keeps nobody")

    good = replace(notes.job("boot", "a"), afterwards=look_back)
    bad = replace(notes.job("halt", "b"), afterwards=look_back)
    engine, _ = launch(good, bad)
    for name, job_id in (("boot", "i-1"), ("halt", "i-2")):
        engine.start(name, job_id, {"id": job_id})
        assert engine.wait(job_id, SOON_S)
    until(lambda: sorted(after) == ["i-1", "i-2"])
    assert engine.active() == set()
    assert notes.seen == ["a i-1", "b i-2", "gave up i-2: no"]


def test_a_step_may_start_another_job(launch: Launch) -> None:
    notes = Notes()
    engines: list[Engine] = []

    def spawn(args: Args) -> None:
        engines[0].start("boot", "i-2", {"id": "i-2"})

    parent = Job(name="fleet", steps=(("spawn", spawn),), give_up=notes.give_up)
    engine, _ = launch(parent, notes.job("boot", "a"))
    engines.append(engine)
    engine.start("fleet", "f-1", {"id": "f-1"})
    assert engine.wait("f-1", SOON_S)
    assert engine.wait("i-2", SOON_S)
    assert notes.seen == ["a i-2"]


def test_ended_jobs_are_forgotten_and_unfinished_ones_are_not(launch: Launch) -> None:
    notes = Notes(trouble={"stuck": [PowerCut()]})
    engine, restart = launch(notes.job("boot", "a"), notes.job("halt", "stuck"))
    engine.start("boot", "i-1", {"id": "i-1"})
    start_through_a_power_cut(engine, "halt", "i-2")
    until(lambda: "stuck i-2" in notes.seen)
    assert engine.wait("i-1", SOON_S)
    assert engine.forget(LONG_AGO) == 0
    engine = restart()
    assert engine.wait("i-2", SOON_S)
    assert engine.forget(FAR_AHEAD) in (1, 2)  # i-2 has ended; its record may be a moment behind
    assert not engine.known("i-1")


def test_a_closed_engine_takes_no_jobs_and_may_be_closed_again(launch: Launch) -> None:
    engine, _ = launch(Notes().job("boot", "a"))
    engine.close()
    engine.close()
    with pytest.raises(NotRunning):
        engine.start("boot", "i-1", {"id": "i-1"})


def test_jobs_are_registered_once_and_before_launch(launch: Launch) -> None:
    engine, _ = launch(Notes().job("boot", "a"))
    with pytest.raises(ValueError, match="registered"):
        engine.register(Notes().job("halt", "a"))


def test_steps_of_a_job_have_distinct_names() -> None:
    with pytest.raises(ValueError, match="distinct"):
        Notes().job("boot", "a", "a")


# Only the durable engine: threads, restarts with other code, real time.


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Callable[..., DurableEngine]]:
    opened: list[DurableEngine] = []

    def launch_one(*jobs: Job, **options: object) -> DurableEngine:
        if opened:
            opened[-1].close()
        options = {"clock": SomeClock(), "patience": NO_PAUSES} | options
        engine = DurableEngine(tmp_path / "jobs.db", **options)  # type: ignore[arg-type]
        opened.append(engine)
        for job in jobs:
            engine.register(job)
        engine.launch()
        return engine

    yield launch_one
    for engine in opened:
        engine.close()


def test_closing_lets_a_running_step_end_and_the_next_launch_does_the_rest(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, reached, go_on = Notes(), threading.Event(), threading.Event()

    def slow(args: Args) -> None:
        reached.set()
        go_on.wait(SOON_S)
        notes.seen.append("slow done")

    job = Job(name="boot", steps=(("slow", slow), notes.step("after")), give_up=notes.give_up)
    engine = durable(job)
    engine.start("boot", "i-1", {"id": "i-1"})
    assert reached.wait(SOON_S)
    closing = threading.Thread(target=engine.close)
    closing.start()
    go_on.set()
    closing.join()
    assert notes.seen == ["slow done"]
    assert durable(job).wait("i-1", SOON_S)
    assert notes.seen == ["slow done", "after i-1"]


def test_closing_does_not_wait_for_a_pause_between_attempts(
    durable: Callable[..., DurableEngine],
) -> None:
    notes = Notes(trouble={"a": [OSError("busy")]})
    job = notes.job("boot", "a")
    engine = durable(job, patience=Patience(pauses_s=(FOR_EVER_S,)), closing_s=FOR_EVER_S)
    engine.start("boot", "i-1", {"id": "i-1"})
    until(lambda: notes.seen == ["a i-1"])
    assert not engine.wait("i-1", 0.2)
    engine.close()
    assert durable(job).wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "a i-1"]


def test_closing_gives_up_on_a_step_that_does_not_end(
    durable: Callable[..., DurableEngine],
) -> None:
    reached, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def stuck(args: Args) -> None:
        reached.set()
        go_on.wait(SOON_S)
        ended.set()

    engine = durable(
        Job(name="boot", steps=(("stuck", stuck),), give_up=Notes().give_up), closing_s=0.2
    )
    engine.start("boot", "i-1", {"id": "i-1"})
    assert reached.wait(SOON_S)
    engine.close()
    assert not ended.is_set()
    go_on.set()


def test_a_job_begun_by_a_release_with_other_steps_is_finished_by_this_one(
    durable: Callable[..., DurableEngine],
) -> None:
    notes = Notes(trouble={"c": [PowerCut()]})
    engine = durable(notes.job("boot", "a", "b", "c"))
    engine.start("boot", "i-1", {"id": "i-1"})
    until(lambda: notes.seen == ["a i-1", "b i-1", "c i-1"])
    assert not engine.wait("i-1", 0.2)
    engine = durable(notes.job("boot", "a", "new", "c"))
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1", "b i-1", "c i-1", "new i-1", "c i-1"]


def test_who_waits_is_told_before_what_comes_afterwards(
    durable: Callable[..., DurableEngine],
) -> None:
    told, came = threading.Event(), threading.Event()

    def look_back(_args: Args) -> None:
        assert told.wait(SOON_S)
        came.set()

    engine = durable(replace(Notes().job("boot", "a"), afterwards=look_back))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", FOR_EVER_S)
    told.set()
    assert came.wait(SOON_S)


def test_jobs_run_side_by_side(durable: Callable[..., DurableEngine]) -> None:
    together = threading.Barrier(20)
    engine = durable(
        Job(
            name="meet",
            steps=(("meet", lambda _: together.wait(SOON_S) and None),),
            give_up=Notes().give_up,
        )
    )
    for n in range(20):
        engine.start("meet", f"i-{n}", {})
    assert all(engine.wait(f"i-{n}", SOON_S) for n in range(20))
    assert not together.broken


def test_many_starts_of_one_id_at_once_run_it_once(durable: Callable[..., DurableEngine]) -> None:
    notes = Notes()
    engine = durable(notes.job("boot", "a"))
    starts = [
        threading.Thread(target=engine.start, args=("boot", "i-1", {"id": "i-1"}))
        for _ in range(16)
    ]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    assert engine.wait("i-1", SOON_S)
    assert notes.seen == ["a i-1"]


def test_a_wait_wakes_when_the_job_ends_not_when_a_poll_comes_round(
    durable: Callable[..., DurableEngine],
) -> None:
    engine = durable(Notes().job("boot", "a", "b", "c", "d"))
    taken_s: list[float] = []
    for n in range(30):
        began = time.monotonic()
        engine.start("boot", f"i-{n}", {"id": f"i-{n}"})
        assert engine.wait(f"i-{n}", SOON_S)
        taken_s.append(time.monotonic() - began)
    # 6-8 ms on an idle machine; a poll of DBOS's (1 s) would let each of them wait.
    assert min(taken_s) < 0.5


def of_a_lane(notes: Notes, reached: threading.Semaphore, go_on: threading.Event) -> Job:
    def slow(args: Args) -> None:
        reached.release()
        go_on.wait(SOON_S)
        notes.seen.append(f"slow {args['id']}")

    return Job(name="bring", steps=(("slow", slow),), give_up=notes.give_up, lane="narrow")


def test_jobs_that_wait_for_their_turn_keep_no_other_from_running(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, reached, go_on = Notes(), threading.Semaphore(0), threading.Event()
    lane = of_a_lane(notes, reached, go_on)
    engine = durable(lane, notes.job("boot", "a"), threads=1, lanes={"narrow": 2})
    waiting = [f"bring-{number}" for number in range(8)]
    for job_id in waiting:
        engine.start("bring", job_id, {"id": job_id}, owner=job_id)
    assert reached.acquire(timeout=SOON_S)
    assert reached.acquire(timeout=SOON_S)
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    assert engine.active() == set(waiting)
    assert notes.seen == ["a i-1"]
    engine.start("bring", waiting[7], {"id": "another"}, owner="b")
    go_on.set()
    until(lambda: engine.active() == set())
    assert sorted(notes.seen[1:]) == [f"slow {job_id}" for job_id in waiting]


def test_a_job_that_waits_for_its_turn_begins_at_once_when_it_is_told_to_hurry(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, reached, go_on = Notes(), threading.Semaphore(0), threading.Event()
    engine = durable(of_a_lane(notes, reached, go_on), lanes={"narrow": 1})
    for job_id in ("one", "two"):
        engine.start("bring", job_id, {"id": job_id})
    assert reached.acquire(timeout=SOON_S)
    assert not engine.wait("two", FOR_EVER_S), "nobody waits for the end of a line"
    engine.hurry("two")
    assert reached.acquire(timeout=SOON_S)
    go_on.set()
    assert engine.wait("one", SOON_S)
    assert engine.wait("two", SOON_S)


def test_a_job_of_a_lane_that_has_ended_is_not_begun_again(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, reached, go_on = Notes(), threading.Semaphore(0), threading.Event()
    go_on.set()
    lane = of_a_lane(notes, reached, go_on)
    engine = durable(lane, notes.job("boot", "a"), lanes={"narrow": 1})
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    engine.start("bring", "one", {"id": "one"})
    assert engine.wait("one", SOON_S)
    engine.start("bring", "one", {"id": "one"})
    assert engine.active() == set()
    with pytest.raises(JobIdTaken):
        engine.start("bring", "i-1", {"id": "i-1"})


def test_after_a_restart_what_ran_goes_on_and_what_waited_is_to_be_started_again(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, reached, go_on = Notes(), threading.Semaphore(0), threading.Event()
    lane = of_a_lane(notes, reached, go_on)
    engine = durable(lane, lanes={"narrow": 1}, closing_s=0.0)
    for job_id in ("one", "two"):
        engine.start("bring", job_id, {"id": job_id})
    assert reached.acquire(timeout=SOON_S)
    closing = threading.Thread(target=engine.close)
    closing.start()
    until(lambda: "two" not in engine.active())
    go_on.set()
    closing.join()
    engine = durable(lane, lanes={"narrow": 1})
    assert not engine.known("two")
    engine.start("bring", "two", {"id": "two"})
    until(lambda: engine.active() == set())
    assert sorted(set(notes.seen)) == ["slow one", "slow two"]


def test_a_recovered_job_counts_among_its_owner_s_when_it_is_started_again(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, reached, go_on = Notes(), threading.Semaphore(0), threading.Event()
    lane = of_a_lane(notes, reached, go_on)
    engine = durable(lane, lanes={"narrow": 4}, closing_s=0.0)
    for number in range(2):
        engine.start("bring", f"a-{number}", {"id": f"a-{number}"}, owner="a")
    assert all(reached.acquire(timeout=SOON_S) for _ in range(2))
    engine = durable(lane, lanes={"narrow": 4}, closing_s=0.0)
    for number in range(3):
        engine.start("bring", f"a-{number}", {"id": f"a-{number}"}, owner="a")
    engine.start("bring", "b-0", {"id": "b-0"}, owner="b")
    assert all(reached.acquire(timeout=SOON_S) for _ in range(3))
    assert not reached.acquire(timeout=0.2), "the third of one owner waits"
    go_on.set()
    until(lambda: engine.active() == set())


class Away(Exception):
    """The store of a test does not answer."""


def patient_for(seconds: float) -> Patience:
    return Patience(pauses_s=(), away=(Away,), away_s=seconds)


def over_a_store(notes: Notes, is_there: threading.Event, lane: str | None = None) -> Job:
    def bring(args: Args) -> None:
        notes.seen.append(f"asks {args['id']}")
        if not is_there.is_set():
            raise Away("no answer")

    steps = (("before", lambda _: None), ("bring", bring), notes.step("after"))
    return Job(name="bring", steps=steps, give_up=notes.give_up, lane=lane)


def test_a_job_whose_store_is_away_takes_neither_a_thread_nor_a_turn_until_it_is_back(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, is_there = Notes(), threading.Event()
    job = over_a_store(notes, is_there, "narrow")
    lane = {"narrow": 1}
    engine = durable(job, threads=1, lanes=lane, patience=patient_for(FOR_EVER_S))
    for job_id in ("one", "two"):
        engine.start("bring", job_id, {"id": job_id}, owner=job_id)
    until(lambda: {"asks one", "asks two"} <= set(notes.seen))
    assert engine.active() == {"one", "two"}
    is_there.set()
    until(lambda: engine.active() == set())
    assert sorted(notes.seen)[:2] == ["after one", "after two"]


def test_a_store_that_does_not_come_back_is_given_up_in_words_for_the_user(
    durable: Callable[..., DurableEngine],
) -> None:
    notes = Notes()
    engine = durable(over_a_store(notes, threading.Event()), patience=patient_for(2.0))
    engine.start("bring", "one", {"id": "one"})
    until(lambda: engine.active() == set())
    assert notes.seen.count("asks one") > 1
    assert notes.seen[-1].startswith(
        "gave up one: Server.InternalError: The storage of the region has not been available for "
    )
    assert notes.seen[-1].endswith(" seconds")


def test_a_job_has_its_own_patience(durable: Callable[..., DurableEngine]) -> None:
    notes = Notes()
    job = replace(over_a_store(notes, threading.Event()), patience_s=0.0)
    engine = durable(job, patience=patient_for(FOR_EVER_S))
    engine.start("bring", "one", {"id": "one"})
    until(lambda: engine.active() == set())
    assert notes.seen == ["asks one", "gave up one: Internal error in step 'bring' (Away)"]


def test_what_waits_for_a_store_goes_on_after_a_restart(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, is_there = Notes(), threading.Event()
    job = over_a_store(notes, is_there, "narrow")
    options: dict[str, Any] = {"lanes": {"narrow": 1}, "patience": patient_for(FOR_EVER_S)}
    engine = durable(job, **options)
    engine.start("bring", "one", {"id": "one"})
    until(lambda: "asks one" in notes.seen)
    engine.close()
    assert engine.active() == set()
    is_there.set()
    engine = durable(job, **options)
    assert engine.wait("one", SOON_S)
    assert notes.seen[-1] == "after one"


def test_a_job_that_waits_for_a_store_goes_on_at_once_when_it_is_told_to_hurry(
    durable: Callable[..., DurableEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "pause_s", lambda _, job_id: FOR_EVER_S)
    notes, is_there = Notes(), threading.Event()
    job = over_a_store(notes, is_there, "narrow")
    engine = durable(job, lanes={"narrow": 1}, patience=patient_for(FOR_EVER_S))
    engine.start("bring", "one", {"id": "one"})
    until(lambda: "asks one" in notes.seen)
    is_there.set()

    def is_asked_again() -> bool:
        engine.hurry("one")
        return notes.seen.count("asks one") == 2

    until(is_asked_again)
    assert engine.wait("one", SOON_S)
    assert notes.seen == ["asks one", "asks one", "after one"]


def test_the_work_of_a_try_before_it_met_the_outage_is_no_part_of_that() -> None:
    now_s, outage = time.monotonic(), Outage()
    assert outage.goes_on(now_s - 500, 300)
    assert 80 < outage.lasted_s() < 200, "a request is made again for so long before it fails"
    assert not outage.goes_on(now_s, 80)


def test_a_try_that_has_long_worked_before_it_failed_met_another_outage() -> None:
    now_s, outage = time.monotonic(), Outage()
    assert outage.goes_on(now_s - 80, 100)
    assert not outage.goes_on(now_s, 60)
    assert outage.goes_on(now_s - 2000, 200)
    assert 80 < outage.lasted_s() < 200


def test_a_try_is_never_made_again_without_a_pause() -> None:
    outage = Outage()
    assert outage.pause_s("one") >= 1
    assert not outage.goes_on(time.monotonic(), 0.0)
    assert outage.pause_s("one") >= 1


def test_the_pauses_grow_and_two_jobs_have_others() -> None:
    outage, pauses = Outage(), []
    for _ in range(12):
        assert outage.goes_on(time.monotonic(), FOR_EVER_S)
        pauses.append(outage.pause_s("one"))
    assert 1 <= pauses[0] <= 2
    assert 30 <= pauses[-1] <= 60
    assert outage.pause_s("one") != outage.pause_s("two")


def test_a_job_that_was_told_to_hurry_during_its_try_does_not_wait_long(
    durable: Callable[..., DurableEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "pause_s", lambda _, job_id: FOR_EVER_S)
    engines: list[DurableEngine] = []
    asked: list[Args] = []

    def bring(args: Args) -> None:
        asked.append(args)
        if len(asked) == 1:
            engines[0].hurry("one")
            raise Away("no answer")

    job = Job(name="bring", steps=(("bring", bring),), give_up=Notes().give_up, lane="narrow")
    engines.append(durable(job, lanes={"narrow": 1}, patience=patient_for(FOR_EVER_S)))
    engines[0].start("bring", "one", {"id": "one"})
    until(lambda: engines[0].active() == set())
    assert len(asked) == 2


def test_a_job_is_still_its_owner_s_when_it_was_told_to_hurry_and_its_store_is_away(
    durable: Callable[..., DurableEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[str] = []
    enter = Lane.enter

    def noted(lane: Lane, job_id: str, owner: str, *rest: Any) -> bool:
        if job_id == "two":
            owners.append(owner)
        return enter(lane, job_id, owner, *rest)

    monkeypatch.setattr(Lane, "enter", noted)
    reached, is_there = threading.Event(), threading.Event()

    def bring(args: Args) -> None:
        if args["id"] == "one":
            reached.set()
            is_there.wait(SOON_S)
        elif not is_there.is_set():
            raise Away("no answer")

    job = Job(name="bring", steps=(("bring", bring),), give_up=Notes().give_up, lane="narrow")
    engine = durable(job, lanes={"narrow": 1}, patience=patient_for(FOR_EVER_S))
    engine.start("bring", "one", {"id": "one"}, owner="a")
    assert reached.wait(SOON_S)
    engine.start("bring", "two", {"id": "two"}, owner="b")
    engine.hurry("two")
    until(lambda: len(owners) > 1)
    assert set(owners) == {"b"}
    is_there.set()
    until(lambda: engine.active() == set())


def test_after_a_restart_no_more_of_a_lane_run_at_once_than_before(
    durable: Callable[..., DurableEngine],
) -> None:
    notes, is_there, at_once = Notes(), threading.Event(), list[int]()
    running, lock = set[str](), threading.Lock()
    options: dict[str, Any] = {"lanes": {"narrow": 1}, "patience": patient_for(FOR_EVER_S)}

    def bring(args: Args) -> None:
        with lock:
            running.add(str(args["id"]))
            at_once.append(len(running))
        threading.Event().wait(0.1)  # in which the others would come
        with lock:
            running.remove(str(args["id"]))
        notes.seen.append(f"asks {args['id']}")
        if not is_there.is_set():
            raise Away("no answer")

    job = Job(name="bring", steps=(("bring", bring),), give_up=notes.give_up, lane="narrow")
    engine = durable(job, **options)
    job_ids = [f"b-{number}" for number in range(3)]
    for job_id in job_ids:
        engine.start("bring", job_id, {"id": job_id}, owner=job_id)
    until(lambda: {f"asks {job_id}" for job_id in job_ids} <= set(notes.seen))
    is_there.set()
    engine = durable(job, **options)
    until(lambda: engine.active() == set())
    assert set(at_once) == {1}


def test_a_job_of_a_name_that_this_release_has_not_is_cancelled(
    durable: Callable[..., DurableEngine], caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes(trouble={"a": [PowerCut()]})
    engine = durable(notes.job("boot", "a"))
    start_through_a_power_cut(engine, "boot", "i-1")
    until(lambda: notes.seen == ["a i-1"])
    engine = durable(notes.job("halt", "b"))
    assert engine.active() == set()
    assert "i-1 is of the kind 'boot'" in caplog.text
    engine.close()
    engine = durable(notes.job("boot", "a"))
    assert engine.active() == set()
    assert engine.forget(FAR_AHEAD) == 1


def test_a_closed_engine_has_no_job_but_those_that_are_in_a_step_still(
    durable: Callable[..., DurableEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is in a pause between attempts, one is taken up again in the very next moment."""
    monkeypatch.setattr(Outage, "pause_s", lambda _, job_id: FOR_EVER_S)
    notes, away = Notes(trouble={"a": [OSError("busy")] * 9}), threading.Event()
    patience = replace(patient_for(FOR_EVER_S), pauses_s=(FOR_EVER_S,))
    engine = durable(notes.job("boot", "a"), over_a_store(notes, away), patience=patience)
    engine.start("boot", "i-1", {"id": "i-1"})
    engine.start("bring", "one", {"id": "one"})
    until(lambda: len(notes.seen) == 2)
    until(lambda: engine._put_off.has("one"))
    engine.hurry("one")
    engine.close()
    assert engine.active() == set()


def test_a_job_that_comes_to_its_lane_while_the_engine_closes_is_refused(
    durable: Callable[..., DurableEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = durable(
        of_a_lane(Notes(), threading.Semaphore(0), threading.Event()), lanes={"narrow": 1}
    )
    enter = Lane.enter

    def late(lane: Lane, *args: Any) -> bool:
        engine.close()
        return enter(lane, *args)

    monkeypatch.setattr(Lane, "enter", late)
    with pytest.raises(NotRunning):
        engine.start("bring", "one", {"id": "one"})
    assert engine.active() == set()


def test_a_job_of_a_lane_that_there_is_not_is_refused(
    durable: Callable[..., DurableEngine],
) -> None:
    lane = of_a_lane(Notes(), threading.Semaphore(0), threading.Event())
    with pytest.raises(ValueError, match="narrow"):
        durable(lane)


def test_old_records_go_by_themselves(durable: Callable[..., DurableEngine]) -> None:
    engine = durable(Notes().job("boot", "a"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    engine = durable(Notes().job("boot", "a"), clock=SomeClock(FAR_AHEAD))
    until(lambda: not engine.known("i-1"))


def test_a_second_engine_in_one_process_is_refused(
    durable: Callable[..., DurableEngine], tmp_path: Path
) -> None:
    durable(Notes().job("boot", "a"))
    second = DurableEngine(tmp_path / "second.db", clock=SomeClock())
    with pytest.raises(NotRunning):
        second.launch()
    second.close()


def test_a_launch_that_fails_leaves_room_for_the_next(
    durable: Callable[..., DurableEngine], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is not a database" * 100)
    with pytest.raises(Exception, match="not a database"):
        DurableEngine(broken, clock=SomeClock()).launch()
    durable(Notes().job("boot", "a"))


def test_an_ordinary_day_is_not_logged(
    durable: Callable[..., DurableEngine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engine = durable(Notes().job("boot", "a"))
    engine.start("boot", "i-1", {"id": "i-1"})
    assert engine.wait("i-1", SOON_S)
    engine.close()
    assert caplog.records == []


def test_with_enough_waiting_the_next_one_is_told_at_once_how_things_stand(
    durable: Callable[..., DurableEngine],
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(args: Args) -> None:
        reached.set()
        go_on.wait(SOON_S)

    job = Job(name="boot", steps=(("slow", slow),), give_up=Notes().give_up)
    engine = durable(job, waiters_max=0)
    engine.start("boot", "i-1", {})
    assert reached.wait(SOON_S)
    assert engine.wait("i-1", FOR_EVER_S) is False
    go_on.set()
    until(lambda: engine.wait("i-1", 0.0))


def test_a_job_whose_end_was_told_is_never_told_as_going_on_again(
    durable: Callable[..., DurableEngine],
) -> None:
    """DBOS records the outcome a moment after the last step; nobody may see that moment."""
    engine = durable(Notes().job("boot", "a"))
    for number in range(100):
        job_id = f"i-{number}"
        engine.start("boot", job_id, {"id": job_id})
        assert engine.wait(job_id, SOON_S)
        assert engine.wait(job_id, 0.0), job_id
