"""A real RTSP server, where GStreamer's is installed."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge.errors import InputMissing, Refused
from edge.sources import SourceLost, open_source

DEBIANS_PYTHON = "/usr/bin/python3"  # Debian's packages belong to its own Python, not to the venv's
SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer as R
Gst.init(None)
if not Gst.ElementFactory.find("x264enc"):
    sys.exit("no x264enc")
server, factory, auth = R.RTSPServer(), R.RTSPMediaFactory(), R.RTSPAuth()
token, rights = R.RTSPToken(), R.RTSPPermissions()
server.set_address("127.0.0.1"); server.set_service(sys.argv[1])
factory.set_launch("( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! rtph264pay name=pay0 pt=96 )")
factory.set_shared(True)
token.set_string("media.factory.role", "user")
for right in ("media.factory.access", "media.factory.construct"):
    rights.add_permission_for_role("user", right, True)
factory.set_permissions(rights)
auth.add_basic(R.RTSPAuth.make_basic("door", "p@ss/w:rd"), token)
server.set_auth(auth)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of a camera that wants a login, and its process."""
    if not Path(DEBIANS_PYTHON).exists():
        pytest.skip("no /usr/bin/python3")
    port = free_port()
    command = [DEBIANS_PYTHON, "-c", SERVER, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            pytest.skip("apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,ugly}")
        yield port, process
        process.kill()


def test_network_camera_gives_frames_to_its_user_only_and_its_end_is_noticed(
    server: tuple[int, subprocess.Popen[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    port, process = server
    with pytest.raises(Refused, match="refuses the login") as caught:
        open_source(f"rtsp://door@127.0.0.1:{port}/cam", password="wr0ng")
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(InputMissing, match="is not there"):
        open_source(f"rtsp://door@127.0.0.1:{port}/nothing", password="p@ss/w:rd")
    with open_source(f"rtsp://door@127.0.0.1:{port}/cam", password="p@ss/w:rd") as source:
        frames = [frame for frame in (source.read(3) for _ in range(5)) if frame]
        assert [f.image_bgr.shape for f in frames] == [(240, 320, 3)] * 5
        assert all(a.t_s < b.t_s and a.index < b.index for a, b in pairwise(frames))
        process.kill()
        with pytest.raises(SourceLost):
            list(iter(lambda: source.read(3), None))
    assert capfd.readouterr().err == ""
