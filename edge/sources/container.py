"""Is a video file whole? OpenCV only stops; the container knows where it should have ended.

MP4 and MOV, Matroska and WebM, AVI, GIF, WMV and MPEG-TS are looked into. Other files (raw streams, MPEG-PS) do not say
where they end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

MAX_HEADER_BYTES: Final = 64 * 2**20  # the index of a film of many hours; more is not read
TS_PACKET_BYTES: Final = 188
ASF_FILE_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


@dataclass(frozen=True, slots=True)
class Container:
    """What a file says of itself.

    kind: ``mp4``, ``mkv``, ``avi``, ``gif``, ``wmv``, ``ts``, ``text``, or empty where it is not known.
    cut: why the file cannot be whole, in words; None where it seems whole.
    length_s: how long its video is, in seconds from the first frame; None where the file does not say it for sure.
    """

    kind: str
    cut: str | None = None
    length_s: float | None = None


def examine(path: Path) -> Container:
    """Look at a file's structure, not at its pictures. Reads headers only; raises OSError."""
    size = path.stat().st_size
    if size == 0:
        return Container("", "the file is empty")
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(0)
        for kind, look in KINDS.items():
            if _has_magic(kind, head):
                return look(file, size, head)
    return Container("text" if is_text(head) else "")


def _has_magic(kind: str, head: bytes) -> bool:
    if kind == "mp4":
        return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    if kind == "avi":
        return head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if kind == "ts":
        return head[:1] == b"G" and head[TS_PACKET_BYTES : TS_PACKET_BYTES + 1] == b"G"
    return head.startswith({"mkv": b"\x1a\x45\xdf\xa3", "gif": b"GIF8", "wmv": b"\x30\x26\xb2\x75"}[kind])


def is_text(head: bytes) -> bool:
    """FFmpeg plays any text as a film of scrolling letters, and follows a playlist's links. We do neither."""
    return not head.startswith(b"YUV4MPEG2") and all(byte in b"\t\n\r\f\x1b" or byte >= 32 for byte in head)


# MP4 and MOV: boxes of size, type, content (ISO 14496-12).


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of the boxes that lie side by side in a box."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def _box_length(file: BinaryIO, at: int, size: int) -> tuple[bytes, int, int]:
    """Type, header length and whole length of the box at ``at``; whole length 0 where there is none."""
    file.seek(at)
    header = file.read(16)
    length, kind = int.from_bytes(header[:4], "big"), header[4:8]
    if len(header) < 8 or not kind.isascii() or not kind.strip(b"\0"):
        return b"", 0, 0
    if length == 1:
        return kind, 16, int.from_bytes(header[8:16], "big")
    return kind, 8, length or size - at


def _mp4(file: BinaryIO, size: int, _head: bytes) -> Container:
    at, cut, index = 0, None, b""
    while at < size:
        kind, header, length = _box_length(file, at, size)
        if length < 8:
            break
        if at + length > size:
            cut = f"{size:,} bytes are there, at least {at + length:,} are due"
        elif kind == b"moov" and length <= MAX_HEADER_BYTES:
            file.seek(at + header)
            index = file.read(length - header)
        at += length
    if not index:
        return Container("mp4", cut or "its index (moov) is missing: it was cut off or is still being recorded")
    return Container("mp4", cut, _mp4_length_s(index))


def _mp4_length_s(index: bytes) -> float | None:
    """Length of the video track, edit list applied; None for fragmented files, which leave it at 0."""
    boxes = list(_boxes(index))
    movie = next((content for kind, content in boxes if kind == b"mvhd"), b"")
    timescale = _at(movie, 20 if movie[:1] == b"\1" else 12, ">I")
    for kind, content in boxes:
        track = dict(_boxes(content)) if kind == b"trak" else {}
        if dict(_boxes(track.get(b"mdia", b""))).get(b"hdlr", b"")[8:12] == b"vide":
            header = track.get(b"tkhd", b"")
            ticks = _at(header, 28, ">Q") if header[:1] == b"\1" else _at(header, 20, ">I")
            ticks -= _empty_start_ticks(dict(_boxes(track.get(b"edts", b""))).get(b"elst", b""))
            return ticks / timescale if ticks > 0 and timescale else None
    return None


def _empty_start_ticks(edits: bytes) -> int:
    """How long an edit list shows nothing before the first frame, from which frames are timed."""
    duration, media_time = ((">Q", 8), (">q", 16)) if edits[:1] == b"\1" else ((">I", 8), (">i", 12))
    return _at(edits, duration[1], duration[0]) if _at(edits, media_time[1], media_time[0]) == -1 else 0


def _at(data: bytes, offset: int, form: str) -> int:
    """One number of ``data``, 0 where it is too short."""
    if len(data) < offset + struct.calcsize(form):
        return 0
    return int(struct.unpack_from(form, data, offset)[0])


# Matroska and WebM: elements of identity, size, content (RFC 8794, RFC 9559).

SEGMENT, INFO, TRACKS, CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
TIMESTAMP_SCALE, DURATION, TRACK_ENTRY, TRACK_TYPE, TIMESTAMP = 0x2AD7B1, 0x4489, 0xAE, 0x83, 0xE7
VIDEO_TRACK = 1


def _number(data: bytes, at: int, keep_marker: bool) -> tuple[int, int]:
    """An EBML number and where it ends; (-1, end) for "unknown size" and (-1, at) for none."""
    width = 9 - data[at].bit_length() if at < len(data) and data[at] else 9
    if width > 8 or at + width > len(data):
        return -1, at
    value = int.from_bytes(data[at : at + width], "big")
    if keep_marker:
        return value, at + width
    value &= (1 << 7 * width) - 1
    return (-1 if value == (1 << 7 * width) - 1 else value), at + width


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Identity (-1: no element here), size (-1: unknown) and start of the content of the element at ``at``."""
    identity, middle = _number(data, at, keep_marker=True)
    size, start = _number(data, middle, keep_marker=False)
    return (identity, size, start) if middle > at and start > middle else (-1, -1, at)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while True:
        identity, size, start = _element(data, at)
        if identity < 0 or size < 0:
            return
        yield identity, data[start : start + size]
        at = start + size


def _matroska(file: BinaryIO, size: int, head: bytes) -> Container:
    _, header_size, start = _element(head, 0)
    found: dict[int, bytes] = {}
    at, cut = start + header_size, None
    while at < size and cut is None:
        file.seek(at)
        identity, length, start = _element(file.read(16), 0)
        end = at + start + length
        if identity < 0 or (length < 0 and identity != SEGMENT):
            break
        if length >= 0 and end > size:
            cut = f"{size:,} bytes are there, at least {end:,} are due"
        if identity in (INFO, TRACKS, CLUSTER) and identity not in found:
            file.seek(at + start)
            found[identity] = file.read(64 if identity == CLUSTER else min(length, MAX_HEADER_BYTES))
        at = at + start if identity == SEGMENT else end
    return Container("mkv", cut, _matroska_length_s(found))


def _matroska_length_s(found: dict[int, bytes]) -> float | None:
    """Length of the video; None where sound or subtitles may outlast it, for the file tells one length for all."""
    entries = [dict(_elements(c)) for i, c in _elements(found.get(TRACKS, b"")) if i == TRACK_ENTRY]
    if any(int.from_bytes(entry.get(TRACK_TYPE, b""), "big") != VIDEO_TRACK for entry in entries):
        return None
    info = dict(_elements(found.get(INFO, b"")))
    ticks_s = int.from_bytes(info.get(TIMESTAMP_SCALE, (1_000_000).to_bytes(4, "big")), "big") / 1e9
    raw = info.get(DURATION, b"")
    if len(raw) not in (4, 8):
        return None
    first = int.from_bytes(dict(_elements(found.get(CLUSTER, b""))).get(TIMESTAMP, b""), "big")
    return float((struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0] - first) * ticks_s)


# The rest.


def _avi(file: BinaryIO, size: int, head: bytes) -> Container:
    """RIFF chunks side by side (large files have several); the main header tells how many frames, how long each."""
    at, cut = 0, None
    while at + 12 <= size:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] != b"RIFF" or length == 0:  # 0: never finished, so it does not say where it should end
            break
        if at + 8 + length > size:
            cut = f"{size:,} bytes are there, at least {at + 8 + length:,} are due"
        at += 8 + length + length % 2
    main = head.find(b"avih")
    frame_s = _at(head, main + 8, "<I") / 1e6 if main > 0 else 0.0
    return Container("avi", cut, _at(head, main + 24, "<I") * frame_s or None)


def _wmv(_file: BinaryIO, size: int, head: bytes) -> Container:
    at = head.find(ASF_FILE_PROPERTIES)
    due = _at(head, at + 40, "<Q") if at > 0 else 0
    return Container("wmv", f"{size:,} bytes are there, {due:,} are due" if due > size else None)


def _gif(file: BinaryIO, _size: int, _head: bytes) -> Container:
    return Container("gif", cut_gif(file.read(MAX_HEADER_BYTES)))


def _ts(_file: BinaryIO, size: int, _head: bytes) -> Container:
    return Container("ts", "its last packet is cut off" if size % TS_PACKET_BYTES else None)


def cut_gif(data: bytes) -> str | None:
    """Why a GIF is not whole, None where it ends with its trailer. data: the whole file."""
    at = 13 + _gif_table_bytes(data, 10)
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return None
        if kind == 0x21:
            at = _gif_skip_blocks(data, at + 2)
        elif kind == 0x2C:
            at = _gif_skip_blocks(data, at + 11 + _gif_table_bytes(data, at + 9))
        else:
            return f"damaged at byte {at:,}"
    return f"truncated after {len(data):,} bytes"


def _gif_table_bytes(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_skip_blocks(data: bytes, at: int) -> int:
    """Past the chain of blocks (a length, then as many bytes) that a block of length 0 ends."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


KINDS: Final[dict[str, Callable[[BinaryIO, int, bytes], Container]]] = {
    "mp4": _mp4,
    "mkv": _matroska,
    "avi": _avi,
    "gif": _gif,
    "wmv": _wmv,
    "ts": _ts,
}
