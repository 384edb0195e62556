"""``rtsp://[user@]host[:port]/path``: a network camera, over TCP. Its password stays where nobody can read it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from edge.errors import UsageError
from edge.opencv import cv2
from edge.passwords import masked
from edge.sources.base import CameraSettings
from edge.sources.live import ChildSource

READ_TIMEOUT_S: Final = 10.0  # silence after which FFmpeg gives a stream up


def open_rtsp(spec: str, settings: CameraSettings, password: str | None) -> ChildSource:
    """Open a stream.

    password: goes to the child by its pipe only. Size, rate and picture are the camera's own; ``rotation`` is applied.
    """
    address = with_password(spec, password)
    parameters = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(settings.open_timeout_s * 1000)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(READ_TIMEOUT_S * 1000)),
    ]
    return ChildSource(masked(spec), {"open": address, "backend": "FFMPEG", "parameters": parameters}, settings)


def with_password(spec: str, password: str | None) -> str:
    """The address with its password, the scheme in small letters, which FFmpeg wants.

    One that has a password already is refused: everyone on the machine saw it.
    """
    try:
        parts = urlsplit(spec)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UsageError(f"{masked(spec)} is not an address", "give rtsp://[user@]host[:port]/path")
    if parts.password is not None:
        raise UsageError(
            f"{masked(spec)} holds a password", "leave the password out of the address and name a password file instead"
        )
    if password is None:
        return parts.scheme + spec[len(parts.scheme) :]
    if not parts.username:
        raise UsageError(f"{masked(spec)}: there is a password but no user", "give rtsp://user@host/path")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    user = quote(unquote(parts.username), safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
