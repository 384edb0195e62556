"""How the stages are joined: short enough to read in one go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from edge.appearance import appearance
from edge.decide import Decider, Rules
from edge.detect import Detector
from edge.quality import quality
from edge.records import Box, Frame, ImageU8, Look, Reading, Sighting, Verdict
from edge.snapshot import BestLooks
from edge.track import Gone, Tracker

TRACKED_SHARE: Final = 0.7  # a face somewhat under the limit keeps its person: nobody at the limit is met twice


NOT_READ: Final = Reading(0.5, 0.0)


class Reader(Protocol):
    """What the pipeline needs of a classifier. None: nothing was there to judge, and the look does not count."""

    def read(self, image_bgr: ImageU8, box: Box) -> Reading | None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict, the frame in which it was reached, and where the person was last seen (pixels).

    face_bgr: the best look at a person just decided, (side, side, 3) uint8; None unless somebody switched pictures on.
    """

    verdict: Verdict
    box: Box
    frame: int
    t_s: float
    utc_s: float
    face_bgr: ImageU8 | None = field(default=None, repr=False, compare=False)


class Pipeline:
    """Frames to verdicts. A stage knows its input and its output, not its neighbours; only this class knows them all.

    min_face_px: smaller faces (shorter side of the box) do not count.
    looks: keeps the best look at each person until they are decided; None keeps none.
    """

    def __init__(
        self,
        detector: Detector,
        tracker: Tracker,
        classifier: Reader,
        decider: Decider,
        min_face_px: float,
        *,
        looks: BestLooks | None = None,
    ) -> None:
        self._detector = detector
        self._tracker = tracker
        self._classifier = classifier
        self._decider = decider
        self._min_face_px = min_face_px
        self._looks = looks
        self._last_box: dict[int, Box] = {}
        self._last_frame: Frame | None = None

    def process(self, frame: Frame) -> list[Told]:
        """One frame; what became known by it, in order: who left, then who was decided or changed."""
        self._last_frame = frame
        found = self._detector.find(frame.image_bgr)
        large = [f for f in found if f.box.shorter_px >= TRACKED_SHARE * self._min_face_px]
        faces = [replace(f, appearance=appearance(frame.image_bgr, f.box)) for f in large]
        tracked = self._tracker.update(frame.t_s, faces)
        left = self._leave(tracked.gone, frame)
        self._last_box |= {s.person: s.face.box for s in tracked.sightings}
        counting = [s for s in tracked.sightings if self._counts(s)]
        verdicts = self._decider.observe(self._look(frame, s) for s in counting)
        return left + [self._tell(v, frame) for v in verdicts]

    def finish(self) -> list[Told]:
        """The source ended: everyone still open is decided and leaves."""
        return self._leave(self._tracker.finish(), self._last_frame) if self._last_frame else []

    def rehearse(self, frame: Frame) -> None:
        """Let the classifier judge the middle of a frame, to no effect: with nobody at the door it is not asked, and a
        model that cannot run must not show when the first person comes."""
        height, width = frame.image_bgr.shape[:2]
        side = min(height, width)
        self._classifier.read(frame.image_bgr, Box((width - side) / 2, (height - side) / 2, side, side))

    def use(self, classifier: Reader, rules: Rules, min_face_px: float) -> None:
        """Judge with these from the next frame on. Everyone who is followed stays who they are, looks and all."""
        self._classifier = classifier
        self._decider.use(rules)
        self._min_face_px = min_face_px

    def _counts(self, sighting: Sighting) -> bool:
        """Is the face large enough, now and usually? A poster of 30 px is found at 32 px once in a while."""
        return min(sighting.face.box.shorter_px, sighting.shorter_px) >= self._min_face_px

    def _look(self, frame: Frame, sighting: Sighting) -> Look:
        """Only a face found in this very frame is judged; one that would not count is not even cut out."""
        weight = quality(frame.image_bgr, sighting.face)
        if self._looks:
            self._looks.offer(sighting.person, frame.image_bgr, sighting.face.box, weight)
        reading = self._classifier.read(frame.image_bgr, sighting.face.box) if weight > 0 else None
        return Look(sighting.person, frame.t_s, reading or NOT_READ, weight if reading else 0.0)

    def _leave(self, gone: tuple[Gone, ...], frame: Frame) -> list[Told]:
        told = [self._tell(v, frame) for g in gone for v in self._decider.leave(g.person, g.stayed_s)]
        for g in gone:
            self._last_box.pop(g.person, None)
            if self._looks:
                self._looks.forget(g.person)
        return told

    def _tell(self, verdict: Verdict, frame: Frame) -> Told:
        box = self._last_box[verdict.person]
        face_bgr = self._looks.take(verdict.person) if self._looks and verdict.kind == "decided" else None
        return Told(verdict, box, frame.index, frame.t_s, frame.utc_s, face_bgr)
