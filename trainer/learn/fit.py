"""The training loop, plain: faces divided, network, phases, checkpoints. ``runs`` tells what a run folder holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import DataError
from edge.records import ImageU8
from trainer.faces.manifest import manifest_sha256
from trainer.learn import head, network
from trainer.learn.division import Parts, describe_division, divided
from trainer.learn.draws import Feed
from trainer.learn.interrupts import Interrupts
from trainer.learn.judging import judged_figures
from trainer.learn.kept import answering, crops_of
from trainer.learn.learner import Learner, progress_of
from trainer.learn.recipes import PLANS
from trainer.learn.recipes.plan import Batches, Plan
from trainer.learn.runs import (
    BEST,
    HEAD,
    LAST,
    WHOLE,
    EpochFigures,
    Run,
    Settings,
    begin,
    describe,
    make_folder,
    progress_text,
    read_run,
    refuse_other_set,
    refuse_seen,
    with_progress,
    write_run,
)
from trainer.learn.strategies import Strategy, open_strategy, plain_errors, shard

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def _unseen_progress(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _more: None


@dataclass(frozen=True, slots=True)
class Telling:
    """How a run speaks: a line at a time, and a bar for each long piece of work."""

    say: Callable[[str], None] = lambda _line: None
    progress: Progress = _unseen_progress

    def heeding(self, interrupts: Interrupts) -> Telling:
        """The same, but whatever moves on also checks for a Ctrl-C that was swallowed."""

        @contextmanager
        def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
            with self.progress(what, total) as advance:

                def tick(more: int) -> None:
                    interrupts.check()
                    advance(more)

                yield tick

        return Telling(self.say, progress)


@dataclass(slots=True)
class Session:
    """A training under way. crops: of the judging faces, as the device makes them.

    goes_on: whether there is a checkpoint to go on from. Asked once, before another machine may have written one.
    """

    plan: Plan
    parts: Parts
    strategy: Strategy
    folder: Path
    crops: ImageU8
    telling: Telling
    run: Run
    goes_on: bool

    @property
    def settings(self) -> Settings:
        return self.run.settings

    @property
    def writes(self) -> bool:
        """Of several machines only the first keeps the run folder."""
        return shard(self.strategy)[0] == 0


def train(settings: Settings, folder: Path, *, resume: bool, telling: Telling = Telling(), workers: int = 1) -> Run:
    """Train into a run folder.

    resume: go on with the run there, by its own settings. workers: processes that make varied crops.
    KeyboardInterrupt leaves the last whole epoch, or the weights as they are where there is none yet.
    """
    goes_on = resume and (folder / LAST).is_file()
    run = _resumed(folder, goes_on) if resume else begin(settings)
    with Interrupts() as interrupts:
        strategy = open_strategy(run.settings.strategy)
        with plain_errors(strategy):
            session = _open(run, folder, strategy, telling.heeding(interrupts), goes_on=goes_on)
            return _train(session, workers=workers)


def _resumed(folder: Path, goes_on: bool) -> Run:
    """As far as the checkpoint has it. Raises DataError for what has none: its weights are no place on a schedule."""
    run = read_run(folder)
    if run.mean_of:
        raise DataError(
            f"run {folder} is a mean of others and has no training to go on with: start a new one with --start-from"
        )
    return with_progress(run, progress_of(folder / LAST)) if goes_on else run


def _train(session: Session, *, workers: int) -> Run:
    settings, strategy = session.settings, session.strategy
    with strategy.scope():
        model = _network(session)
    if session.writes and not session.goes_on:
        make_folder(session.folder)
        write_run(session.folder, session.run)  # not before there is something to go on with
    session.telling.say(describe_division(session.run.division))
    feed = session.plan.feed(settings, session.parts.training, workers, shard(strategy))
    with feed, _leaving_weights(session, model):
        if session.plan.has_head_phase and not settings.start_from and not session.goes_on:
            _head_phase(session, model, feed)
        _whole_phase(session, model, feed)
    return session.run


def _open(run: Run, folder: Path, strategy: Strategy, telling: Telling, *, goes_on: bool) -> Session:
    """Divide the faces, cut those that judge. Raises DataError where a resumed run's faces are no longer the same."""
    settings, plan = run.settings, PLANS[run.settings.recipe]
    data = Path(settings.data)
    refuse_other_set(run, data)
    parts = divided(data, settings.unseen, settings.leave_out, may_select=plan.selects)
    if run.figures and run.division != parts.division:
        raise DataError(f"{data} holds other faces than when this run began: train again into a new folder")
    if run.figures and not goes_on:
        raise DataError(f"run {folder} has no {LAST} to go on from: start a new one with --start-from")
    if settings.start_from and not run.figures:
        refuse_seen(read_run(Path(settings.start_from)), parts.division, data)
    crops = crops_of(settings, data, parts.judging)
    known = replace(run, division=parts.division, manifest_sha256=manifest_sha256(data))
    return Session(plan, parts, strategy, folder, crops, telling, known, goes_on)


def _network(session: Session) -> network.Model:
    """A new one; in a run that goes on one whose weights the checkpoint will replace."""
    settings, plan = session.settings, session.plan
    if session.goes_on:
        return plan.bare(settings)
    return _timed(session, "start", lambda: plan.begin(settings, session.parts.training))


def _timed(session: Session, what: str, make: Callable[[], Any]) -> Any:
    start = time.monotonic()
    made = make()
    session.run = session.run.spent(what, time.monotonic() - start)
    return made


def _head_phase(session: Session, model: network.Model, feed: Batches) -> None:
    """Fit the head to cached features."""
    assert isinstance(feed, Feed)  # the only feed of a recipe with this phase
    draws = head.DRAWN_EPOCHS * session.settings.draws
    frozen = head.Frozen(model)
    with session.telling.progress("features", max(1, draws // session.settings.batch)) as tick:
        cached = _timed(session, "features", lambda: head.cache(frozen, feed, draws, tick))
    judging = frozen, session.crops, session.parts.judging
    start = time.monotonic()
    figures = tuple(head.fit_head(model, session.settings, cached, session.strategy, judging=judging))
    run = replace(session.run, figures=figures, chosen=len(figures) - 1)
    session.run = run.spent(HEAD, time.monotonic() - start)


def _whole_phase(session: Session, model: network.Model, feed: Batches) -> None:
    settings = session.settings
    total = feed.steps() * settings.epochs
    with session.strategy.scope():
        learner = Learner(session.plan.lesson(settings, model, total), session.strategy)
    judge = Judge(session, model)
    done = _first_checkpoint(session, learner)
    if done >= settings.epochs:
        session.telling.say(f"all {settings.epochs} epochs are done already: train into a new folder for more")
    with _leaving_average(session, learner), session.telling.progress("training", total) as tick:
        tick(done * feed.steps())
        for epoch in range(done + 1, settings.epochs + 1):
            if why := session.plan.is_over(session.run):
                session.telling.say(f"stopped: {why}")
                break
            _one_epoch(session, learner, feed, judge=judge, epoch=epoch, tick=tick)


def _first_checkpoint(session: Session, learner: Learner) -> int:
    """Load the one to go on from, or write that of epoch 0; returns the epochs done."""
    if session.goes_on:
        done = learner.load(session.folder / LAST)
        _keep_what_follows(session, learner)  # a kill may have come before it
        return done
    _keep(session, learner, 0)
    if session.run.figures:
        session.telling.say(describe(session.run.figures[-1], session.settings.epochs))
    return 0


def _keep(session: Session, learner: Learner, epoch: int) -> None:
    """Write the checkpoint, then what follows from it, so that a kill between two writes loses nothing."""
    if session.writes:
        learner.save(session.folder / LAST, epoch, progress_text(session.run))
    _keep_what_follows(session, learner)


def _keep_what_follows(session: Session, learner: Learner) -> None:
    """The chosen weights, where they are the checkpoint's (else they are there already), and the record."""
    if session.run.chose_last:
        learner.swap()
        if session.writes:
            network.save_weights(learner.lesson.model, session.folder / BEST)
        learner.swap()
    if session.writes:
        write_run(session.folder, session.run)


def _one_epoch(
    session: Session, learner: Learner, feed: Batches, *, judge: Judge, epoch: int, tick: Callable[[int], None]
) -> None:
    """Train, judge, and keep."""
    start = time.monotonic()
    met = []
    for batch in feed.epoch(epoch):
        met.append(learner.learn(batch.images_rgb, batch.labels))
        tick(1)
    loss, accuracy = np.mean(np.array([np.asarray(m) for m in met], np.float64), axis=0).tolist()
    learner.swap()
    scores = judge()
    learner.swap()
    spent = time.monotonic() - start
    figures = EpochFigures(WHOLE, epoch, loss, accuracy, **asdict(scores), rate=learner.rate, seconds=round(spent, 1))
    session.run = session.run.after(figures).spent(WHOLE, spent)
    _keep(session, learner, epoch)
    session.telling.say(describe(figures, session.settings.epochs))


class Judge:
    """Scores the network's weights as they are on the judging faces."""

    def __init__(self, session: Session, model: network.Model) -> None:
        self._session = session
        self._logits = answering(session.plan.judged(model))

    def __call__(self) -> Any:
        session = self._session
        return judged_figures(self._logits(session.crops), session.parts.judging, two_class=session.plan.two_class)


@contextmanager
def _leaving_weights(session: Session, model: network.Model) -> Iterator[None]:
    """Ctrl-C before the first epoch's end still leaves weights that can be used."""
    try:
        yield
    except KeyboardInterrupt:
        if session.writes and not (session.folder / BEST).is_file():
            network.save_weights(model, session.folder / BEST)
        raise


@contextmanager
def _leaving_average(session: Session, learner: Learner) -> Iterator[None]:
    """The same while there is a running average: it is what is left."""
    try:
        yield
    except KeyboardInterrupt:
        if not (session.folder / BEST).is_file():
            learner.swap()
        raise
