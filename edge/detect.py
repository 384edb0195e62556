"""Faces in a frame: one interface, two detectors.

YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023) finds most per millisecond. CenterFace (Xu et
al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019) finds more masked faces at several
times the cost, and is what a machine with nothing but a package registry gets. Sizes and thresholds were chosen by
``benchmarks/detectors.py``; the figures are in docs/detectors.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from edge.opencv import cv2
from edge.records import Box, Face, ImageU8

BORDER_PX: Final = 16  # a face that fills the frame is missed without air around it
STRIDE_PX: Final = 32  # both networks halve the picture five times
NMS_IOU: Final = 0.3
CENTERFACE_STRIDE_PX: Final = 4  # one cell of its heat map


class Detector(Protocol):
    """Finds faces; knows nothing of who they are."""

    name: str
    sure_score: float  # from here on a face is hardly ever a pattern; between the lowest score and this it may be

    def find(self, image_bgr: ImageU8) -> list[Face]:
        """Faces of one picture, largest first. image_bgr: (height, width, 3) uint8. Same picture, same faces."""
        ...


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a picture is brought to a detector's size.

    long_side_px: the longer side is shrunk to this.
    enlarge_from_px: a picture whose longer side is between this and ``long_side_px`` is enlarged to it, which finds
    small faces; below it the picture is one close-up, and a face blown up over the whole input is missed.
    """

    long_side_px: int
    enlarge_from_px: int = 300

    def factor(self, width: int, height: int) -> float:
        longer = max(width, height)
        return 1.0 if longer < self.enlarge_from_px else self.long_side_px / longer


def fit(image_bgr: ImageU8, scaling: Scaling) -> tuple[ImageU8, float]:
    """Scale a picture and set it into a repeated border, so that both sides are multiples of 32.

    Returns the canvas and the factor; a canvas point is ``picture point * factor + BORDER_PX``.
    """
    height, width = image_bgr.shape[:2]
    factor = scaling.factor(width, height)
    new_width, new_height = max(1, round(width * factor)), max(1, round(height * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = image_bgr if factor == 1 else cv2.resize(image_bgr, (new_width, new_height), interpolation=method)
    right = -(new_width + 2 * BORDER_PX) % STRIDE_PX + BORDER_PX
    bottom = -(new_height + 2 * BORDER_PX) % STRIDE_PX + BORDER_PX
    canvas: ImageU8 = cv2.copyMakeBorder(
        scaled, BORDER_PX, bottom, BORDER_PX, right, borderType=cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)
    return canvas, factor


def unfit(box: Box, landmarks: npt.NDArray[np.float32], score: float, factor: float) -> Face:
    """From canvas pixels back to pixels of the picture. landmarks: (5, 2)."""
    points = (landmarks - BORDER_PX) / factor
    back = Box((box.x - BORDER_PX) / factor, (box.y - BORDER_PX) / factor, box.width / factor, box.height / factor)
    return Face(back, score, tuple((float(x), float(y)) for x, y in points))


def keep_on_picture(faces: list[Face], width: int, height: int) -> list[Face]:
    """Drop faces whose middle lies in the border; largest first, ties by place, so that order says nothing else."""
    inside = [f for f in faces if 0 <= f.box.center[0] < width and 0 <= f.box.center[1] < height]
    return sorted(inside, key=lambda f: (-f.box.width * f.box.height, f.box.x, f.box.y))


class YuNet:
    """YuNet 2023mar through OpenCV's own decoder.

    onnx: the verified file's bytes. min_score: 0-1. long_side_px: see ``Scaling``.
    """

    name = "yunet"
    sure_score = 0.75

    def __init__(self, onnx: bytes, min_score: float = 0.4, long_side_px: int = 640) -> None:
        self._scaling = Scaling(long_side_px)
        model, no_config = np.frombuffer(onnx, np.uint8), np.empty(0, np.uint8)
        self._net = cv2.FaceDetectorYN.create("onnx", model, no_config, (STRIDE_PX, STRIDE_PX), min_score, NMS_IOU)

    def find(self, image_bgr: ImageU8) -> list[Face]:
        canvas, factor = fit(image_bgr, self._scaling)
        self._net.setInputSize((canvas.shape[1], canvas.shape[0]))
        rows = self._net.detect(canvas)[1]
        faces = []
        for row in () if rows is None else rows:
            box = Box(*(float(v) for v in row[:4]))
            if box.shorter_px > 0:
                faces.append(unfit(box, row[4:14].reshape(5, 2), float(row[14]), factor))
        return keep_on_picture(faces, image_bgr.shape[1], image_bgr.shape[0])


class CenterFace:
    """CenterFace through ``cv2.dnn``; decoded as its paper describes: a heat map of face centres at a quarter of the
    size, and for each cell log sizes, the offset of the centre within the cell, and five landmarks relative to the box.

    onnx: the verified file's bytes. min_score: 0-1. long_side_px: see ``Scaling``.
    """

    name = "centerface"
    sure_score = 0.5
    _outputs = ("537", "538", "539", "540")  # heat map, log size, offset, landmarks

    def __init__(self, onnx: bytes, min_score: float = 0.36, long_side_px: int = 640) -> None:
        self._onnx = np.frombuffer(onnx, np.uint8)
        self._scaling = Scaling(long_side_px)
        self._min_score = min_score
        self._net = cv2.dnn.readNetFromONNX(self._onnx)
        self._shape: tuple[int, ...] = ()

    def find(self, image_bgr: ImageU8) -> list[Face]:
        canvas, factor = fit(image_bgr, self._scaling)
        heat, log_size, offset, marks = self._forward(canvas)
        boxes, scores, points = decode_centerface(heat[0, 0], log_size[0], offset[0], marks[0], self._min_score)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self._min_score, NMS_IOU)
        faces = [
            unfit(Box(*map(float, boxes[i])), points[i], float(scores[i]), factor) for i in np.ravel(kept).astype(int)
        ]
        return keep_on_picture(faces, image_bgr.shape[1], image_bgr.shape[0])

    def _forward(self, canvas: ImageU8) -> list[npt.NDArray[np.float32]]:
        # OpenCV 4.14 leaves garbage in fused layers when a net's input changes shape (136 false faces where a fresh net
        # finds 9, on 275 pictures of many sizes). Reading the model again costs 20 ms and is due only on a change.
        if self._shape not in ((), canvas.shape):
            self._net = cv2.dnn.readNetFromONNX(self._onnx)
        self._shape = canvas.shape
        self._net.setInput(cv2.dnn.blobFromImage(canvas, swapRB=True))
        return [output.astype(np.float32, copy=False) for output in self._net.forward(self._outputs)]


def decode_centerface(
    heat: npt.NDArray[np.float32],
    log_size: npt.NDArray[np.float32],
    offset: npt.NDArray[np.float32],
    marks: npt.NDArray[np.float32],
    min_score: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """CenterFace's four maps to boxes (n, 4: x, y, width, height), scores (n,) and landmarks (n, 5, 2), canvas pixels.

    heat: (rows, cols). log_size, offset: (2, rows, cols), height before width. marks: (10, rows, cols), y before x.
    """
    row, col = np.nonzero(heat > min_score)
    height, width = np.exp(log_size[:, row, col]) * CENTERFACE_STRIDE_PX
    y = (row + offset[0, row, col] + 0.5) * CENTERFACE_STRIDE_PX - height / 2
    x = (col + offset[1, row, col] + 0.5) * CENTERFACE_STRIDE_PX - width / 2
    boxes = np.stack([x, y, width, height], axis=1).astype(np.float32)
    relative = marks[:, row, col].T.reshape(-1, 5, 2)  # y, x in shares of the box
    points = np.stack(
        [relative[:, :, 1] * width[:, None] + x[:, None], relative[:, :, 0] * height[:, None] + y[:, None]], axis=2
    )
    return boxes, heat[row, col].astype(np.float32), points.astype(np.float32)
