"""How one job runs: steps in order, each tried a few times, then given up.

Nothing here knows what records the steps: an engine passes `checkpoint`, which runs a
step unless its outcome is on record already. Outcomes are data (why it failed, or None),
never pickled exceptions.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from openami.domain.errors import EC2Error
from openami.jobs.engine import GIVE_UP, Args, GiveUp, Job
from openami.jobs.outage import Outage

Reason: TypeAlias = "str | None"
Checkpoint: TypeAlias = Callable[[str, Callable[[], Reason]], Reason]

AWAY: Final = "Server.InternalError: The storage of the region has not been available"

log = logging.getLogger(__name__)


class Suspended(BaseException):
    """The job stops here unfinished, to be taken up at the next launch.

    Not an Exception: nothing on the way out may record it as the job's outcome.
    """


class PutOff(Suspended):
    """The same, because a store is away: to be taken up again after a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a failing step is tried again, with what pauses (seconds), and what is final.

    give_up has nothing behind it, so it is tried for an hour before the next launch
    must do it. An exception of a `final` type is not tried again: its text is the reason.
    One of an `away` type tells that a store is away. It may be back in minutes: for `away_s`, or
    what the job says, the job is put off again and again, with pauses that grow.
    """

    pauses_s: tuple[float, ...] = (0.1, 0.4, 1.6, 6.4)
    give_up_pauses_s: tuple[float, ...] = (0.1, 0.4, 1.6, 6.4, 25.6, *(60.0,) * 60)
    final: tuple[type[Exception], ...] = (EC2Error,)
    away: tuple[type[Exception], ...] = ()
    away_s: float = 0.0


NO_PAUSES = Patience(pauses_s=(0.0,) * 4, give_up_pauses_s=(0.0,) * 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One job on its way; `stopping` makes it suspend at the next step or pause.

    `outage` is the one that the job has waited through, if it was put off.
    """

    job: Job
    job_id: str
    args: Args
    patience: Patience
    outage: Outage = field(default_factory=Outage)
    stopping: threading.Event = field(default_factory=threading.Event)

    def to_the_end(self, checkpoint: Checkpoint, *, is_new: bool = False) -> None:
        """Every step, or up to the one that failed and then give_up. Raises Suspended.

        Of a job that `is_new` nothing is on record: then the success of its last step has no
        record but that of the job's end, and nobody waits for one.
        """
        last = self.job.steps[-1][0]
        for name, step in self.job.steps:
            if self.stopping.is_set():
                raise Suspended
            if is_new and name == last:
                reason = self._try(name, step)
                if reason is not None:
                    checkpoint(name, lambda reason=reason: reason)
            else:
                reason = checkpoint(name, lambda name=name, step=step: self._try(name, step))
            if reason is not None:
                log.warning("job %s gives up at %r: %s", self.job_id, name, reason)
                checkpoint(GIVE_UP, lambda reason=reason: self._give_up(reason))
                return

    def afterwards(self) -> None:
        """What nobody waits for; a failure is logged."""
        if self.job.afterwards is None:
            return
        try:
            self.job.afterwards(self.args)
        except Exception:
            log.exception("job %s has ended; what comes afterwards failed", self.job_id)

    def _try(self, name: str, step: Callable[[Args], None]) -> Reason:
        failure = self._attempts(name, lambda: self._patiently(step), self.patience.pauses_s)
        if failure is None:
            return None
        if isinstance(failure, (GiveUp, *self.patience.final)):
            return str(failure)
        # The text of an unforeseen error may hold paths and secrets: it is in the log only.
        return f"Internal error in step {name!r} ({type(failure).__name__})"

    def _patiently(self, step: Callable[[Args], None]) -> None:
        """Raises PutOff if a store is away: it is waited for without a thread. GiveUp if it was."""
        own_s, tried_from_s = self.job.patience_s, time.monotonic()
        patience_s = self.patience.away_s if own_s is None else own_s
        try:
            step(self.args)
        except self.patience.away as away:
            if self.outage.goes_on(tried_from_s, patience_s):
                log.warning("job %s waits for its store: %s", self.job_id, away)
                raise PutOff from away
            if patience_s > 0:  # which store it was and why is the operator's, in the log
                raise GiveUp(f"{AWAY} for {_in_words(self.outage.lasted_s())}") from away
            raise
        self.outage.end()

    def _give_up(self, reason: str) -> None:
        def act() -> None:
            try:
                self.job.give_up(self.args, reason)
            except (GiveUp, *self.patience.final) as refused:
                # Giving up is the one thing that must not be refused: try again.
                raise RuntimeError(f"give_up was refused: {refused}") from refused

        if self._attempts(GIVE_UP, act, self.patience.give_up_pauses_s) is not None:
            log.error("job %s could not give up; the next launch will try again", self.job_id)
            raise Suspended

    def _attempts(
        self, name: str, act: Callable[[], None], pauses_s: tuple[float, ...]
    ) -> Exception | None:
        """None when `act` succeeded, else its last or final exception. Raises Suspended."""
        for tried, pause_s in enumerate((*pauses_s, None), start=1):
            try:
                act()
            except (GiveUp, *self.patience.final) as final:
                return final
            except Exception as failure:  # this is the worker: anything may go wrong
                self._report(name, tried, failure)
                if pause_s is None:
                    return failure
                if self.stopping.wait(pause_s):
                    raise Suspended from failure
            else:
                return None
        raise AssertionError("the last attempt either returns or fails")

    def _report(self, name: str, tried: int, failure: Exception) -> None:
        """One traceback per step; after that a line per attempt."""
        log.log(
            logging.ERROR if tried == 1 else logging.WARNING,
            "job %s, step %r failed (attempt %d): %s",
            *(self.job_id, name, tried, failure),
            exc_info=failure if tried == 1 else None,
        )


def _in_words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes > 1 else f"{round(seconds)} seconds"
