"""Turns in a lane: how many jobs run, whose is next, and what a cancelled one does."""

from pathlib import Path

from openami.jobs.lanes import Lane
from openami.workflows import registry
from support.fakes import services


class Desk:
    """A lane whose jobs are letters, the owner's first, and which run until they are told."""

    def __init__(self, width: int) -> None:
        self.lane, self.begun, self.refuses = Lane(width), list[str](), set[str]()

    def ask(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.lane.enter(job_id, job_id[0], lambda job_id=job_id: self._begin(job_id))

    def _begin(self, job_id: str) -> bool:
        self.begun.append(job_id)
        return job_id not in self.refuses

    def end(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.lane.leave(job_id)


def test_no_more_jobs_run_at_once_than_the_lane_has_room_for() -> None:
    desk = Desk(2)
    desk.ask("a1", "b1", "c1", "d1")
    assert desk.begun == ["a1", "b1"]
    desk.end("a1")
    assert desk.begun == ["a1", "b1", "c1"]


def test_nobody_has_more_than_half_of_a_lane() -> None:
    desk = Desk(4)
    desk.ask("a1", "a2", "a3", "a4", "b1")
    assert desk.begun == ["a1", "a2", "b1"]
    desk.end("b1")
    assert desk.begun == ["a1", "a2", "b1"]
    desk.end("a1")
    assert desk.begun[-1] == "a3"


def test_a_lane_of_one_takes_whoever_comes() -> None:
    desk = Desk(1)
    desk.ask("a1", "a2")
    desk.end("a1", "a2")
    assert desk.begun == ["a1", "a2"]


def test_owners_take_turns_however_much_each_asks_for() -> None:
    desk = Desk(1)
    desk.ask("x1", "a1", "a2", "a3", "b1", "b2")
    desk.end("x1", "a1", "b1", "a2", "b2", "a3")
    assert desk.begun == ["x1", "a1", "b1", "a2", "b2", "a3"]


def test_a_job_that_cannot_begin_leaves_its_room_to_the_next() -> None:
    desk = Desk(1)
    desk.refuses = {"a1", "b1"}
    desk.ask("a1", "b1", "c1", "d1")
    assert desk.begun == ["a1", "b1", "c1"]


def test_a_job_that_is_in_a_hurry_runs_beside_the_others_and_takes_nobody_s_turn() -> None:
    desk = Desk(1)
    desk.ask("a1", "a2", "b1")
    assert desk.lane.is_waiting("a2")
    desk.lane.hurry("a2")
    assert not desk.lane.is_waiting("a2")
    assert desk.begun == ["a1", "a2"]
    desk.end("a2")
    assert desk.begun == ["a1", "a2"]
    desk.end("a1")
    assert desk.begun == ["a1", "a2", "b1"]
    desk.lane.hurry("b1")
    assert desk.begun == ["a1", "a2", "b1"], "it runs already"


def test_what_was_recovered_counts() -> None:
    desk = Desk(1)
    desk.lane.hold("z1")
    desk.ask("a1")
    assert desk.begun == []
    desk.end("z1")
    assert desk.begun == ["a1"]


def test_what_was_recovered_beyond_the_width_has_no_place_yet() -> None:
    lane = Lane(2)
    assert [lane.hold(job_id) for job_id in ("z1", "z2", "z3")] == [True, True, False]


def test_what_waits_is_its_owner_s_as_soon_as_that_is_told() -> None:
    desk = Desk(2)
    ask_for(desk, "", "x1", "x2")
    for job_id in ("a1", "a2"):
        desk.lane.enter(job_id, "x", lambda job_id=job_id: desk._begin(job_id))
    assert desk.begun == ["x1"]
    desk.lane.belongs("a2", "a")
    assert desk.begun == ["x1", "a2"]


def test_a_closed_lane_begins_nothing() -> None:
    desk = Desk(1)
    desk.ask("a1", "a2", "b1")
    desk.lane.close()
    desk.end("a1")
    desk.ask("c1")
    assert desk.begun == ["a1"]


def test_a_closed_lane_takes_no_job() -> None:
    lane = Lane(1)
    assert lane.enter("a1", "a", lambda: True)
    lane.close()
    assert not lane.enter("a2", "a", lambda: True)
    assert not lane.is_waiting("a2")


def test_what_was_recovered_is_its_owner_s_as_soon_as_that_is_told() -> None:
    desk = Desk(4)
    desk.lane.hold("a1")
    desk.lane.hold("a2")
    desk.lane.belongs("a1", "a")
    desk.lane.belongs("a2", "a")
    desk.lane.belongs("a9", "a")
    desk.ask("a3", "b1")
    assert desk.begun == ["b1"]
    desk.end("a2")
    assert desk.begun == ["b1", "a3"]


def ask_for(desk: Desk, region: str, *job_ids: str) -> None:
    for job_id in job_ids:
        regions = region.split()
        desk.lane.enter(job_id, job_id[0], lambda job_id=job_id: desk._begin(job_id), regions)


def test_no_region_has_more_than_three_quarters_of_a_lane() -> None:
    desk = Desk(4)
    ask_for(desk, "silent", "a1", "b1", "c1", "e1")
    ask_for(desk, "well", "d1", "c2")
    assert desk.begun == ["a1", "b1", "c1", "d1"]
    desk.end("d1")
    assert desk.begun[4:] == ["c2"]
    desk.end("a1")
    assert desk.begun[5:] == ["e1"]


def test_an_owner_does_not_fill_a_region() -> None:
    desk = Desk(4)
    ask_for(desk, "here", "a1", "a2", "a3", "b1")
    assert desk.begun == ["a1", "a2", "b1"]


def test_a_copy_is_of_the_region_from_which_and_of_that_to_which_it_goes() -> None:
    desk = Desk(4)
    ask_for(desk, "silent", "a1", "b1")
    ask_for(desk, "silent well", "c1")
    ask_for(desk, "well silent", "d1")
    ask_for(desk, "well", "e1")
    assert desk.begun == ["a1", "b1", "c1", "e1"]


def test_an_owner_has_no_more_turns_for_asking_in_more_regions() -> None:
    desk = Desk(1)
    desk.ask("x1")
    for number, region in enumerate(("east", "west", "south")):
        ask_for(desk, region, f"a{number}")
    ask_for(desk, "east", "b1", "b2")
    desk.end("x1", "a0", "b1", "a1", "b2", "a2")
    assert desk.begun == ["x1", "a0", "b1", "a1", "b2", "a2"]


def test_what_was_recovered_is_of_its_region_as_soon_as_that_is_told() -> None:
    desk = Desk(2)
    desk.lane.hold("a1")
    desk.lane.belongs("a1", "a", ["silent"])
    ask_for(desk, "silent", "b1")
    ask_for(desk, "well", "c1")
    assert desk.begun == ["c1"]


WITHOUT_BYTES = {
    *("launch", "start_instance", "stop_instance", "reboot_instance", "terminate_instance"),
    *("replace_root_volume", "attach_volume", "detach_volume", "create_volume", "delete_volume"),
    *("modify_volume", "image_usage_report"),
}
OF_THE_OPERATOR = {"import_image", "collect"}
OF_ITS_MOMENT = {  # what is stored of it waits for its turn
    "create_snapshot",
    "create_snapshots",
    "create_image",
    "copy_volume",
}


def test_what_an_account_may_ask_for_in_numbers_and_takes_long_waits_for_its_turn(
    tmp_path: Path,
) -> None:
    jobs = registry.jobs(services(tmp_path))
    at_once = {job.name for job in jobs if job.lane is None}
    assert at_once - OF_THE_OPERATOR - OF_ITS_MOMENT <= WITHOUT_BYTES
