"""A network camera that breaks on purpose: GStreamer's RTSP server in the machine's network, with the demo's clip.

SIGSTOP: it gives no more frames, and answers nobody. SIGUSR1: it gives frames on time, always the same one; a second
SIGUSR1: it goes on.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.service.machine import Machine
from tests.service.rootfs import ROOT, do

URL: Final = "rtsp://127.0.0.1:8554/door"
DEBIANS_PYTHON: Final = "/usr/bin/python3"  # Debian's packages belong to its own Python, not to the venv's
MISSING: Final = "apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
SERVER: Final = """
import pathlib, signal, sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer as R
Gst.init(None)
if not Gst.ElementFactory.find("rtpjpegpay") or not Gst.ElementFactory.find("appsrc"):
    sys.exit("no plugins")
clip = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jpg"))]
at, is_frozen, sources = 0, False, []

def give():
    global at
    at += not is_frozen
    for source in list(sources):
        if source.emit("push-buffer", Gst.Buffer.new_wrapped(clip[at % len(clip)])) != Gst.FlowReturn.OK:
            sources.remove(source)
    return True

def toggle():
    global is_frozen
    is_frozen = not is_frozen
    print("frozen" if is_frozen else "moving", flush=True)
    return True

server, factory = R.RTSPServer(), R.RTSPMediaFactory()
server.set_address("127.0.0.1"); server.set_service("8554")
factory.set_launch("( appsrc name=pictures is-live=true do-timestamp=true format=time max-buffers=5 "
    "leaky-type=downstream caps=image/jpeg,width=848,height=480,framerate=15/1 ! rtpjpegpay name=pay0 pt=26 )")
factory.connect("media-configure", lambda _, media: sources.append(media.get_element().get_by_name("pictures")))
server.get_mount_points().add_factory("/door", factory)
GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR1, toggle)
GLib.timeout_add(1000 // 15, give)
if not server.attach(None):
    sys.exit("the port is taken")
print("ready", flush=True)
GLib.MainLoop().run()
"""


@dataclass(frozen=True, slots=True)
class Camera:
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def freeze(self) -> None:
        self._turn("frozen")

    def thaw(self) -> None:
        self._turn("moving")

    def _turn(self, into: str) -> None:
        self.process.send_signal(signal.SIGUSR1)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().decode().strip() == into


@contextmanager
def camera(machine: Machine, folder: Path) -> Iterator[Camera | None]:
    """None where GStreamer's server is not installed. folder: for the clip's pictures."""
    # RTP knows JPEG's standard tables only (RFC 2435), and sizes in eights.
    as_jpeg = ("-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p", "-q:v", "5", "-vf", "scale=848:480")
    do(
        "ffmpeg",
        "-loglevel",
        "error",
        "-i",
        str(ROOT / "demo/door.mp4"),
        *as_jpeg,
        "-start_number",
        "0",
        f"{folder}/%05d.jpg",
    )
    argv = ("nsenter", "-t", str(machine.leader), "-n", "--", DEBIANS_PYTHON, "-c", SERVER, str(folder))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield Camera(process) if process.stdout.readline() == b"ready\n" else None
        finally:
            process.kill()
