"""Still images: `edge classify`. Each picture stands for itself; one that cannot be read does not stop the others."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from edge.annotate import draw_face
from edge.classify import Judge
from edge.detect import Detector
from edge.errors import DataError, DiskError, InputMissing, OutputError, Refused, UsageError
from edge.opencv import cv2
from edge.records import INCORRECT, MASK, NO_MASK, Box, ImageU8, Reading
from edge.sources.images import images_in, read_image

JPEG_QUALITY: Final = 90
DISK_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class StillFace:
    """label: ``mask`` or ``no_mask``; incorrect: a mask is there, nose or mouth bare (only with ``no_mask``)."""

    box: Box
    score: float
    label: str
    p_mask: float
    incorrect: bool


class StillJudge:
    """Finds and labels the faces of one picture. min_face_px: shorter side of the box, pixels of the picture."""

    def __init__(self, detector: Detector, classifier: Judge, min_face_px: float) -> None:
        self._detector = detector
        self._classifier = classifier
        self._min_face_px = min_face_px

    def judge(self, image_bgr: ImageU8) -> list[StillFace]:
        """Faces of (height, width, 3) uint8, from large to small."""
        found = [f for f in self._detector.find(image_bgr) if f.box.shorter_px >= self._min_face_px]
        return [label_face(f.box, f.score, self._read(image_bgr, f.box), self._classifier.threshold) for f in found]

    def _read(self, image_bgr: ImageU8, box: Box) -> Reading:
        reading = self._classifier.read(image_bgr, box)
        assert reading is not None, "only a service waits for its accelerator"
        return reading


def label_face(box: Box, score: float, reading: Reading, threshold: float) -> StillFace:
    label = MASK if reading.p_mask >= threshold else NO_MASK
    return StillFace(box, score, label, reading.p_mask, label == NO_MASK and reading.p_incorrect > 0.5)


def expand(arguments: Sequence[str]) -> Iterator[str]:
    """Images as named; a folder stands for the images in it, in the order of their names."""
    for argument in arguments:
        if not Path(argument).is_dir():
            yield argument
            continue
        names = [path.name for path in images_in(Path(argument))]
        if not names:
            raise InputMissing(f"folder {argument} holds no images: name one that does")
        yield from (os.path.join(argument, name) for name in names)  # noqa: PTH118 - as given, "./" kept


class StillRun:
    """One call of `edge classify`: judges pictures one by one, annotates copies where asked to, keeps the exit code.

    exit_code: 0; 65 where a picture could not be read; 66 where all that failed were not there; 77 where this user may
    read none of those that failed.
    """

    def __init__(self, judge: StillJudge, model: str, detector: str, annotated: Annotated | None) -> None:
        self._judge = judge
        self._model, self._detector = model, detector
        self._annotated = annotated
        self.exit_code = 0

    def run(self, image: str) -> dict[str, Any]:
        """The contract's object for one picture."""
        try:
            picture = read_image(Path(image))
            faces = self._judge.judge(picture)
        except (DataError, InputMissing, Refused) as error:
            self.exit_code = min(self.exit_code or error.exit_code, error.exit_code)
            return {"image": image, "error": str(error)}
        if self._annotated:
            self._annotated.save(image, picture, faces)
        height, width = picture.shape[:2]
        head = {"image": image, "width": width, "height": height, "model": self._model, "detector": self._detector}
        return {**head, "faces": [as_json(f) for f in faces]}


def as_json(face: StillFace) -> dict[str, Any]:
    worn = {"worn": INCORRECT} if face.incorrect else {}
    said = {"label": face.label, **worn, "p_mask": round(face.p_mask, 4)}
    return {"box": [round(v) for v in face.box], "score": round(face.score, 3), **said}


def as_text(answer: dict[str, Any]) -> str:
    """The same for a human: a line for the picture, one for each face."""
    if "error" in answer:
        return f"edge: {answer['image']}: {answer['error']}"
    faces = answer["faces"]
    count = "no face" if not faces else "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    lines = [f"{answer['image']}: {count}"]
    for face in faces:
        x, y, width, height = face["box"]
        worn = " (a mask is there, nose or mouth bare)" if "worn" in face else ""
        lines.append(f"  {face['label']:8} p_mask {face['p_mask']:.3f}  {width}x{height} px at {x},{y}{worn}")
    return "\n".join(lines)


class Annotated:
    """A folder of pictures with what was found drawn in. What is in it already stays: a taken name gets a number.

    images: all that will be judged. Raises UsageError where one of them lies in the folder, which would be taken for a
    picture the next time; OutputError where the folder cannot be made.
    """

    def __init__(self, folder: Path, images: Sequence[str]) -> None:
        self._folder = folder
        for image in images:
            if folder.resolve() in (Path(image).parent.resolve(), Path(image).resolve().parent):
                raise UsageError(f"--annotate {folder} holds {image} itself, which must stay: name another folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"folder {folder} cannot be made: {error.strerror}: name another with --annotate"
            ) from error

    def save(self, image: str, picture: ImageU8, faces: Sequence[StillFace]) -> Path:
        drawn = picture.copy()
        for face in faces:
            label = INCORRECT if face.incorrect else face.label
            draw_face(drawn, face.box, face.label, f"{label.replace('_', ' ')} {face.p_mask:.2f}")
        fits, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not fits:
            raise OutputError(f"picture {image} is too long for a JPEG: leave it out, or do without --annotate")
        stem = Path(image).stem
        try:
            path, file = self._create(stem)
            write_whole(path, file, data.tobytes())
        except OSError as error:
            kind = DiskError if error.errno in DISK_ERRNOS else OutputError
            raise kind(
                f"picture {stem}.jpg cannot be written into {self._folder}: {error.strerror}: "
                "name another folder with --annotate"
            ) from error
        return path

    def _create(self, stem: str) -> tuple[Path, BinaryIO]:
        """The first name that is free, as a new file; nothing that is there is opened, nor what a link points to."""
        path, number = self._folder / f"{stem}.jpg", 1
        while True:
            try:
                return path, path.open("xb")
            except FileExistsError:
                number += 1
                path = self._folder / f"{stem}-{number}.jpg"


def write_whole(path: Path, file: BinaryIO, data: bytes) -> None:
    """Write a new file, or leave none."""
    try:
        with file:
            file.write(data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def dump(answer: dict[str, Any]) -> str:
    """A name that is not UTF-8 goes as escapes, from which ``os.fsencode`` makes the name again (PEP 383)."""
    line = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return line if is_text(line) else json.dumps(answer, separators=(",", ":"))


def is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
