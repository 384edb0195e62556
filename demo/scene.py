"""The room, the camera, and how people move through the picture.

The camera hangs at a door at chest height and looks up a little: heads rise in the picture as people come near. Frames
are (480, 854, 3) uint8 BGR, times are seconds of the clip, and a face's size is its width between the cheeks in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"  # OpenCV reads OpenEXR only when asked

import cv2
import numpy as np

from demo.arrays import F32, f32, u8
from demo.fetch_pictures import picture_path
from demo.portraits import Portrait
from edge.records import ImageU8

WIDTH, HEIGHT = 854, 480
FPS: Final = 15
HORIZON_Y: Final = 425.0  # the row at the camera's height
RISE: Final = 1.95  # a face's middle above the camera, in face widths
SHUTTER_S: Final = 1 / 60
OVERSAMPLE: Final = 2
REACH: Final = 3.2  # half the width of the widest portrait, in face widths


@dataclass(frozen=True, slots=True)
class View:
    """A pinhole view out of an all-around picture: degrees, exposure as a factor."""

    yaw: float = 209.0
    pitch: float = 1.5
    field: float = 88.0
    exposure: float = 0.95


@dataclass(frozen=True, slots=True)
class Key:
    """A station of someone's way: at time t_s the face's middle is at x, so wide is the face, so is the head turned.

    turn: -1..1 to the picture's left or right. tilt: degrees, clockwise.
    """

    t_s: float
    x: float
    face_px: float
    turn: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Where someone is in one instant; frame pixels."""

    x: float
    y: float
    face_px: float
    turn: float
    tilt: float


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody's visit. looks: the portrait to show at a time.

    taller: height above the average, in face widths. pace_hz: steps per second.
    """

    keys: Sequence[Key]
    looks: Callable[[float], Portrait]
    taller: float = 0.0
    pace_hz: float = 1.8
    seed: int = 0

    def here(self, t_s: float) -> bool:
        return self.keys[0].t_s <= t_s <= self.keys[-1].t_s


def read_panorama() -> F32:
    """(height, width, 3) float32 linear light, lamps bounded so that scaling draws no dark rings around them."""
    raw = cv2.imread(str(picture_path("interior")), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise OSError("this OpenCV was built without OpenEXR; the package opencv-python-headless has it")
    linear = np.clip(np.nan_to_num(f32(raw[..., :3]), posinf=20.0), 0, 20)
    closed = cv2.morphologyEx(linear, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    lamps = f32(linear.max(axis=2) > 4)  # the file itself rings around them
    near = cv2.GaussianBlur(cv2.dilate(lamps, np.ones((9, 9), np.uint8)), (0, 0), 1.5)[..., None]
    return f32(np.log1p(linear + (closed - linear) * near))


def look(panorama: F32, view: View) -> F32:
    """A pinhole view; panorama and result as log(1 + light)."""
    focal = WIDTH / 2 / np.tan(np.radians(view.field) / 2)
    x, y = np.meshgrid(np.arange(WIDTH) - WIDTH / 2 + 0.5, np.arange(HEIGHT) - HEIGHT / 2 + 0.5)
    pitch = np.radians(view.pitch)
    down, ahead = y * np.cos(pitch) - focal * np.sin(pitch), y * np.sin(pitch) + focal * np.cos(pitch)
    east = np.arctan2(x, ahead) + np.radians(view.yaw)
    south = np.arctan2(down, np.hypot(x, ahead))
    rows, columns = panorama.shape[:2]
    u = ((east / (2 * np.pi) + 0.5) % 1) * columns - 0.5
    v = (south / np.pi + 0.5) * rows - 0.5
    return f32(cv2.remap(panorama, f32(u), f32(v), cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP))


def tone(log_light: F32, exposure: float) -> F32:
    """Light to display values 0-255: a filmic curve (Narkowicz's fit of ACES), then sRGB's power."""
    light = np.clip(np.expm1(log_light), 0, None) * exposure
    film = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    return f32(film ** (1 / 2.2) * 255)


def background(view: View = View()) -> F32:
    """The empty room, (480, 854, 3) float32 0-255, a little out of focus."""
    plain = cv2.bilateralFilter(tone(look(read_panorama(), view), view.exposure), 7, 18, 3)
    return f32(cv2.GaussianBlur(plain, (0, 0), 1.1))


def ease(t: float) -> float:
    return t * t * (3 - 2 * t)


def pose_at(actor: Actor, t_s: float) -> Pose:
    """Between two stations, with steps while walking and a slight sway while standing."""
    keys = actor.keys
    i = max(0, min(len(keys) - 2, sum(k.t_s <= t_s for k in keys) - 1))
    a, b = keys[i], keys[i + 1]
    share = ease(float(np.clip((t_s - a.t_s) / (b.t_s - a.t_s), 0, 1)))
    x, face_px, turn, tilt = (
        p + (q - p) * share
        for p, q in zip((a.x, a.face_px, a.turn, a.tilt), (b.x, b.face_px, b.turn, b.tilt), strict=True)
    )
    speed = (abs(b.x - a.x) / face_px + 3 * abs(b.face_px - a.face_px) / face_px) / (b.t_s - a.t_s)
    walking = min(1.0, speed / 1.5) * 4 * share * (1 - share)
    phase = 2 * np.pi * (actor.pace_hz * t_s + actor.seed * 0.37)
    slow = 2 * np.pi * (0.31 * t_s + actor.seed * 0.61)
    x += face_px * (0.035 * walking * np.sin(phase / 2) + 0.03 * np.sin(slow))
    y = HORIZON_Y - face_px * (RISE + actor.taller - 0.045 * walking * np.sin(phase) - 0.012 * np.sin(1.7 * slow))
    tilt += 1.3 * float(np.sin(1.3 * slow)) + walking * float(np.sin(phase / 2))
    return Pose(x, y, face_px, turn + 0.10 * float(np.sin(0.8 * slow + 1)), tilt)


def place(portrait: Portrait, pose: Pose) -> tuple[F32, F32]:
    """A portrait in the frame, twice oversampled. Returns colour times alpha (h, w, 3), and alpha (h, w) 0-1."""
    left = int(np.clip(pose.x - REACH * pose.face_px, 0, WIDTH - 1))
    right = int(np.clip(pose.x + REACH * pose.face_px, left + 1, WIDTH))
    scale = portrait.face_px / pose.face_px / OVERSAMPLE
    x = (np.arange(left * OVERSAMPLE, right * OVERSAMPLE) + 0.5 - pose.x * OVERSAMPLE) * scale
    y = (np.arange(HEIGHT * OVERSAMPLE) + 0.5 - pose.y * OVERSAMPLE) * scale
    at_x, at_y = move_head(portrait, pose, *np.meshgrid(f32(x), f32(y)))
    layer = np.dstack([portrait.bgr * portrait.alpha[..., None], portrait.alpha * 255])
    drawn = cv2.remap(layer, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    frame = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    frame[:, left:right] = cv2.resize(drawn, (right - left, HEIGHT), interpolation=cv2.INTER_AREA)
    return frame[..., :3], f32(frame[..., 3] / 255)


def move_head(portrait: Portrait, pose: Pose, x: F32, y: F32) -> tuple[F32, F32]:
    """Where in the portrait to look for points x, y relative to the face's middle, in portrait pixels.

    The head turns by parallax (what is nearer to the camera moves more) and tilts on its neck; the body stays.
    """
    face, tilt = portrait.face_px, np.radians(pose.tilt)
    neck = portrait.person.neck_y * portrait.scale - portrait.center[1]
    head = np.clip((neck - y) / (0.5 * face) + 0.5, 0, 1)
    head = head * head * (3 - 2 * head)
    sin, cos = np.sin(-tilt * head), np.cos(-tilt * head)
    x, y = x * cos - (y - neck) * sin, x * sin + (y - neck) * cos + neck
    bulge = np.sqrt(np.clip(1 - (x / (0.62 * face)) ** 2 - ((y + 0.1 * face) / (0.95 * face)) ** 2, 0, 1))
    x = x - pose.turn * face * head * (0.10 * bulge - 0.02)
    return f32(x + portrait.center[0] - 0.5), f32(y + portrait.center[1] - 0.5)


def smear(layer: F32, dx: float, dy: float) -> F32:
    """Motion blur along a short way, in pixels."""
    length = float(np.hypot(dx, dy))
    if length < 1.2:
        return layer
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.uint8)
    middle = np.asarray((size // 2, size // 2))
    half = np.asarray((dx, dy)) / 2
    ends = [tuple(round(float(v) * 16) for v in middle + way) for way in (-half, half)]
    cv2.line(kernel, ends[0], ends[1], (255,), 1, cv2.LINE_AA, 4)
    return f32(cv2.filter2D(layer, -1, f32(kernel) / float(kernel.sum())))


def wall_shadow(alpha: F32, face_px: float) -> F32:
    """The soft shadow of a silhouette on the wall behind it, 0-1."""
    small = cv2.resize(alpha, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), face_px * 0.07), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    shift = f32(((1, 0, 0.22 * face_px), (0, 1, 0.12 * face_px)))
    return f32(cv2.warpAffine(soft, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE))


def draw_actor(canvas: F32, actor: Actor, t_s: float) -> F32:
    """Lay one person over the canvas: smeared over the shutter's time, with a soft shadow on what is behind."""
    pose, later = pose_at(actor, t_s), pose_at(actor, t_s + SHUTTER_S)
    colour, alpha = place(actor.looks(t_s), pose)
    layer = smear(f32(np.dstack([colour, alpha])), later.x - pose.x, later.y - pose.y)
    colour, alpha = layer[..., :3], layer[..., 3]
    shaded = canvas * (1 - 0.24 * wall_shadow(alpha, pose.face_px))[..., None]
    return f32(shaded * (1 - alpha[..., None]) + colour)


class Camera:
    """What a cheap camera adds: exposure that breathes, falling off to the corners, noise. Same seed, same pictures."""

    def __init__(self, seed: int = 10, noise: float = 2.6) -> None:
        self._random = np.random.default_rng(seed)
        self._noise = noise
        x, y = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-0.56, 0.56, HEIGHT))
        self._falloff = f32(1 - 0.13 * (x**2 + y**2))[..., None]
        self._exposure = 1.0

    def shoot(self, scene: F32, t_s: float) -> ImageU8:
        """scene: (480, 854, 3) float32. The exposure follows the scene's mean, late and by a little."""
        wanted = float(np.clip((132.0 / float(scene.mean())) ** 0.15, 0.94, 1.06))
        self._exposure += (wanted - self._exposure) * 0.12
        flicker = 1 + 0.006 * np.sin(2 * np.pi * 1.9 * t_s) + 0.004 * self._random.standard_normal()
        grain = f32(self._random.standard_normal((HEIGHT, WIDTH, 1)))
        blotches = f32(self._random.standard_normal((HEIGHT // 2, WIDTH // 2, 3)))
        chroma = cv2.resize(blotches, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        lens = cv2.GaussianBlur(scene, (0, 0), 0.55)
        seen = lens * self._falloff * np.float32(self._exposure * flicker) + self._noise * (grain + 0.5 * chroma)
        return u8(seen)
