"""Who looks after a run: tells systemd, the broker and the status file how it goes, and lets a hot board rest.

Everything here is called by the loop that reads and judges, and by nothing else: where that loop hangs, nobody says
that all is well, and systemd starts the daemon anew. There is no timer thread.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final, Self

from edge.board import Board, Throttled
from edge.clock import Clock, SystemClock, clock_state
from edge.drift_watch import DriftWatch
from edge.errors import EdgeError
from edge.health import (
    LOST_IS_NEWS_S,
    REASONS,
    CameraState,
    Facts,
    Health,
    OutboxFacts,
    as_object,
    encode,
    in_words,
    judge,
)
from edge.heat import Heat
from edge.journal import asks
from edge.models.watch import TrialWatch
from edge.notify import Notifier
from edge.outbox import Outbox
from edge.picture import PictureWatch
from edge.pipeline import Pipeline
from edge.progress import Deadline, Progress
from edge.records import AcceleratorTrouble, Frame
from edge.reload import Hangup, Reloader
from edge.run import Outlet
from edge.sinks import Broker
from edge.sinks.notices import Notice
from edge.sources import SourceLost
from edge.status import EVERY_S, StatusFile
from edge.topics import health_topic

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0  # between two looks at the facts
PUBLISH_S: Final = 30.0
SETTLED_S: Final = 10.0  # after a change: figures such as fps follow it by as much
EXPIRY_S: Final = 90  # three of them: what is older is not the state any more
THROTTLED_S: Final = 30.0  # asking a Raspberry Pi's firmware takes a process
REOPEN_FROZEN_S: Final = 60.0
COMPARED: Final = 5  # looks at one picture by the model that goes, for the one that comes to be measured by
FLOWING_S: Final = 5.0  # frames no older than this: the camera gives some


class PictureFrozen(SourceLost):
    """The camera gives frames on time, always the same one; opening it again is all that can be done from here."""


class OutboxWatch:
    """What the outbox says, and what of it is news: a loss is told for a day."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._dropped = outbox.dropped
        self._dropped_at_s = -math.inf
        self._losses, self._lost_at_s = 0, -math.inf

    def facts(self, uptime_s: float) -> OutboxFacts:
        dropped = self._outbox.dropped
        if dropped != self._dropped:
            self._dropped, self._dropped_at_s = dropped, uptime_s
        losses = self._outbox.losses
        counts = [loss.count for loss in losses]
        lost = None if None in counts else sum(count or 0 for count in counts)
        if len(losses) != self._losses:
            self._losses, self._lost_at_s = len(losses), uptime_s
        holds = {
            "outbox_in_memory": self._outbox.trouble is not None,
            "events_dropped": uptime_s - self._dropped_at_s < LOST_IS_NEWS_S,
            "events_lost": lost != 0 and uptime_s - self._lost_at_s < LOST_IS_NEWS_S,
        }
        news = tuple(reason for reason, is_so in holds.items() if is_so)
        return OutboxFacts(self._outbox.waiting, self._outbox.oldest_s, dropped, lost, news)


class Attendant:
    """One for a run, from before the first frame to the end.

    picture, drift: None for files, whose pictures are nobody's fault. heat: None where frames must not be left out.
    deadline_s: how long a frame may take, None for files. tend: looks after the accelerator, tells what is wrong.
    reopens: the camera is opened again when it raises SourceLost; then a frozen picture does so after a minute.
    trial: where the daemon serves the model that is active on this machine; None where it is told which.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        outlet: Outlet,
        board: Board,
        *,
        outbox: Outbox | None = None,
        broker: Broker | None = None,
        picture: PictureWatch | None = None,
        heat: Heat | None = None,
        drift: DriftWatch | None = None,
        deadline_s: float | None = None,
        tend: Callable[[], AcceleratorTrouble | None] = lambda: None,
        reopens: bool = False,
        status_file: StatusFile | None = None,
        notifier: Notifier | None = None,
        hangup: Hangup | None = None,
        reloader: Reloader | None = None,
        trial: TrialWatch | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.camera: CameraState | None = None  # None: opened, and not a frame yet
        self._pipeline = pipeline
        self._outlet = outlet
        self._board = board
        self._outbox = OutboxWatch(outbox) if outbox else None
        self._broker = broker
        self._picture = picture
        self._heat = heat
        self._drift = drift
        self._deadline = Deadline(deadline_s)
        self._tend = tend
        self._reopens = reopens
        self._status_file = status_file or StatusFile(None)
        self._clock: Clock = clock or SystemClock()
        self._notifier = notifier or Notifier(self._clock.monotonic_s)
        self._hangup = hangup or Hangup()
        self._reloader = reloader
        self._trial = trial
        self._frame: Frame | None = None
        self._sleep = sleep
        self._progress = Progress()
        self._began_s = self._rested_s = self._opened_s = self._clock.monotonic_s()
        self._look_at_s = self._file_at_s = self._publish_at_s = self._throttled_at_s = 0.0
        self._throttled: Throttled | None = None
        self._reasons: tuple[str, ...] | None = None  # as last told
        self._told_trial: object = None
        self._trouble = ""  # the camera's, as last logged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, broken: type[BaseException] | None, *_: object) -> None:
        self._notifier.stopping()
        if self._drift:
            self._drift.close()
        if self._trial and (broken is None or issubclass(broken, EdgeError)):  # a camera, a disk: no fault of the model
            self._trial.stop()
        self._status_file.remove()

    # While the camera is open: called by ``run``.

    def saw(self, frame: Frame, busy_s: float) -> None:
        """A frame has been through every stage, which took ``busy_s`` seconds, and its events are in the outbox.

        May take a rest. Raises PictureFrozen.
        """
        now_s = self._clock.monotonic_s()
        if self.camera in (None, "absent", "lost"):
            self._begin(frame)
        self._progress.done(now_s)
        self._deadline.done(now_s, busy_s)
        self._frame = frame
        if self._trial and self._trial.wants_a_look():
            self._pipeline.rehearse(frame)
        self.camera = self._picture.look(frame) if self._picture else "ok"
        if self._drift:
            self._drift.look(frame)
        self._notifier.alive()
        self._tick()
        self._notifier.ready()
        self._rest(busy_s)
        self._fail_if_frozen()

    def waited(self) -> None:
        """The camera is open, and gave nothing for a moment. No sign of life to the watchdog: there is no progress."""
        self._tick()

    # While it is away: called by ``keep_open``.

    def away(self, error: EdgeError, pause_s: float) -> None:
        """It could not be opened, or broke off; the next attempt is in ``pause_s`` seconds."""
        if not isinstance(error, PictureFrozen):
            self.camera = "absent" if self._progress.frame_age_s(0.0) is None else "lost"
        trouble = str(error)
        log.log(
            logging.DEBUG if trouble == self._trouble else logging.WARNING,
            "camera: %s; it is tried again and again, next in %.1f s",
            trouble,
            pause_s,
            extra=asks("camera_away"),
        )
        self._trouble = trouble
        self._opened_s = math.inf
        self._look_at_s = 0.0
        self.retrying()
        self._notifier.ready()

    def retrying(self) -> None:
        self._notifier.alive()
        self._tick()

    def _begin(self, frame: Frame) -> None:
        """The first frame, of all or after a time without any."""
        if self._progress.frame_age_s(0.0) is None:
            self._pipeline.rehearse(frame)
        if self.camera is not None:
            log.info("camera: it gives frames")
        self._trouble = ""
        if self._picture:
            self._picture.begin(frame.t_s)

    def _tick(self) -> None:
        """Look at the facts once a second, tell what is new at once and the rest now and then."""
        self._reload_if_asked()
        now_s = self._clock.monotonic_s()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        self._look_at_trial(now_s)
        if self.camera is None:
            return
        if self._drift:
            self._drift.tick()
        self._tell(judge(self._facts(self.camera, now_s)), now_s)

    def _facts(self, camera: CameraState, now_s: float) -> Facts:
        uptime_s = now_s - self._began_s
        temperature_c = self._board.temperature_c()
        if self._heat:
            self._heat.feel(temperature_c)
        if now_s >= self._throttled_at_s:
            self._throttled, self._throttled_at_s = self._board.throttled(), now_s + THROTTLED_S
        return Facts(
            camera=camera,
            fps=self._progress.fps(now_s),
            frame_age_s=self._progress.frame_age_s(now_s),
            outbox=self._outbox.facts(uptime_s) if self._outbox else None,
            last_ack_s=self._broker.last_ack_s if self._broker else None,
            model=self._outlet.writer.model,
            temperature_c=temperature_c,
            throttled=self._throttled,
            clock=clock_state(self._clock),
            rss_mb=self._board.rss_mb(),
            uptime_s=uptime_s,
            broker_reasons=self._broker.reasons if self._broker else (),
            drift=self._drift.past if self._drift else None,
            late_frames=self._deadline.late,
            is_late=self._deadline.is_missed(now_s),
            accelerator=self._tend(),
            trial=self._trial.standing if self._trial else None,
            is_hot=self._heat is not None and self._heat.is_hot,
            is_reload_refused=self._reloader is not None and self._reloader.is_refused,
        )

    def _tell(self, health: Health, now_s: float) -> None:
        trial = health.facts.trial and (health.facts.model, health.facts.trial["state"], health.facts.trial["at_work"])
        is_news = (health.reasons, trial) != (self._reasons, self._told_trial)
        if is_news:
            tell_change(self._reasons or (), health.reasons)
            self._reasons, self._told_trial = health.reasons, trial
        fields = as_object(health)
        if is_news or now_s >= self._file_at_s:
            self._file_at_s = now_s + EVERY_S
            models = str(self._trial.store.folder) if self._trial else None
            seq = self._outlet.writer.written
            self._status_file.write({**fields, "seq": seq, "models": models})
            self._notifier.status(in_words(health))
        if self._broker and (is_news or now_s >= self._publish_at_s):
            self._publish_at_s = now_s + (SETTLED_S if is_news else PUBLISH_S)
            self._broker.retain(Notice(health_topic(self._broker.base_topic), encode(fields), EXPIRY_S))

    def _look_at_trial(self, now_s: float) -> None:
        """Every second: what a command changed and what the daemon has to undo both end in a reload."""
        if self._trial is None:
            return
        age_s = self._progress.frame_age_s(now_s)
        is_over = self._trial.look(has_frames=age_s is not None and age_s < FLOWING_S)
        if is_over or self._trial.is_news() or self._trial.is_to_try_again():
            self._reload(rereads=False)

    def _reload_if_asked(self) -> None:
        if self._hangup.asked:
            self._hangup.asked = False
            self._reload()

    def _reload(self, *, rereads: bool = True) -> None:
        if self._reloader:
            self._look_at_s = 0.0
            was_ready = self._notifier.is_ready
            if was_ready:
                self._notifier.reloading()
            if self._trial:
                self._trial.before_reload(self._compare)
            self._reloader.reload(rereads=rereads)
            if self._trial:
                self._trial.after_reload(self._reloader.refusal)
            if was_ready:
                self._notifier.ready()

    def _compare(self) -> None:
        if self._frame:
            for _ in range(COMPARED):
                self._pipeline.rehearse(self._frame)

    def _rest(self, busy_s: float) -> None:
        if self._heat and (rest_s := self._heat.rest_s(busy_s, self._clock.monotonic_s() - self._rested_s)) > 0:
            self._sleep(rest_s)
        self._rested_s = self._clock.monotonic_s()

    def _fail_if_frozen(self) -> None:
        if not (self._reopens and self._picture and self.camera == "frozen"):
            return
        now_s = self._clock.monotonic_s()
        self._opened_s = min(self._opened_s, now_s)  # the first frame since it was opened again
        if min(self._picture.lasted_s, now_s - self._opened_s) >= REOPEN_FROZEN_S:
            raise PictureFrozen(f"the same picture for {REOPEN_FROZEN_S:g} s and more: it is opened again")


def tell_change(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    for reason in after:
        if reason not in before:
            log.warning("health: %s: %s", reason, REASONS[reason], extra=asks("health", reason=reason))
    for reason in before:
        if reason not in after:
            log.info("health: %s is over", reason)
