"""Model files of others: found, checked, fetched from the first place that has them, never left half-written."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge import third_party
from edge.errors import DataError, DiskError, InputMissing, Unavailable, UsageError
from edge.third_party import ModelFile, ThirdParty, Wheel, fetch, is_present, listed, locate, presence

DATA = b"\x08\x07" + bytes(range(256)) * 8
ITEM = ThirdParty(
    name="tinyface",
    file="tinyface.onnx",
    sha256=hashlib.sha256(DATA).hexdigest(),
    size=len(DATA),
    licence="MIT",
    what="a face detector for tests",
    url="http://127.0.0.1:9/tinyface.onnx",  # nobody listens there
    folders=("local",),
    wheel=None,
)
Listing = Callable[..., None]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where fetched files are put; a second folder beside it is the system's."""
    monkeypatch.setattr(third_party, "third_party_dirs", lambda: (tmp_path / "here", tmp_path / "system"))
    monkeypatch.setattr(third_party, "checkout", lambda: tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "here"


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Listing:
    """Make the list name one file, with changes."""

    def change(**changes: object) -> None:
        item = dataclasses.replace(ITEM, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(third_party, "listed", lambda: {item.name: item})

    change()
    return change


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[str]:
    """The address of a server that gives every caller these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listening.accept()
                    with caller:
                        caller.recv(4096)
                        caller.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/tinyface.onnx"
        listening.shutdown(socket.SHUT_RDWR)


def put(folder: Path, data: bytes = DATA) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ITEM.file).write_bytes(data)
    return folder / ITEM.file


def everything(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*")) if folder.exists() else []


def test_the_shipped_list_names_both_detectors_with_licence_and_places() -> None:
    for name in ("yunet", "centerface"):
        item = listed()[name]
        assert item.licence == "MIT"
        assert len(item.sha256) == 64
        assert item.size > 100_000
        assert item.url.startswith("https://")


def test_a_file_that_is_not_listed_is_answered_with_those_that_are(lists: Listing) -> None:
    with pytest.raises(UsageError, match="'retinaface' is no listed model file: one of tinyface"):
        locate("retinaface")


# --- what is here ---


@pytest.mark.parametrize("folder", ["here", "system"])
def test_a_file_is_found_in_any_of_its_folders(tmp_path: Path, here: Path, lists: Listing, folder: str) -> None:
    path = put(tmp_path / folder)
    assert is_present("tinyface")
    assert locate("tinyface") == ModelFile(path, DATA)


def test_a_missing_file_is_said_to_be_missing_with_the_command_that_brings_it(here: Path, lists: Listing) -> None:
    assert not is_present("tinyface")
    with pytest.raises(InputMissing, match=r"tinyface.onnx is not on this machine: run 'edge model fetch tinyface'"):
        locate("tinyface")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (DATA[:1000], r"1,000 bytes instead of 2,050 \(truncated\?\)"),
        (b"\x09" + DATA[1:], "was altered"),
        (b"", "0 bytes"),
    ],
    ids=["truncated", "altered", "empty"],
)
def test_a_damaged_file_is_never_handed_on(here: Path, lists: Listing, data: bytes, says: str) -> None:
    path = put(here, data)
    with pytest.raises(DataError, match=f"{says}.*run 'edge model fetch tinyface'") as caught:
        locate("tinyface")
    assert str(path) in str(caught.value)
    assert presence("tinyface").startswith("damaged")


def test_a_damaged_file_is_fetched_anew(tmp_path: Path, here: Path, lists: Listing) -> None:
    path = put(here, DATA[:1000])
    put(tmp_path / "downloads", DATA)
    assert fetch("tinyface", tmp_path / "downloads") == path
    assert locate("tinyface").data == DATA


# --- fetching ---


def test_a_file_that_is_here_is_not_fetched_again(here: Path, lists: Listing) -> None:
    path = put(here)
    assert fetch("tinyface") == path


def test_a_local_folder_of_the_list_gives_the_file(tmp_path: Path, here: Path, lists: Listing) -> None:
    put(tmp_path / "local")
    assert fetch("tinyface").read_bytes() == DATA
    assert everything(here) == ["tinyface.onnx"]
    assert (here / "tinyface.onnx").stat().st_mode & 0o444 == 0o444


def test_the_folder_that_the_user_names_goes_first(tmp_path: Path, here: Path, lists: Listing) -> None:
    put(tmp_path / "local", b"another version")
    put(tmp_path / "downloads")
    assert fetch("tinyface", tmp_path / "downloads") == locate("tinyface").path == here / ITEM.file


def test_a_place_with_another_version_is_passed_over(tmp_path: Path, here: Path, lists: Listing) -> None:
    put(tmp_path / "downloads", DATA[:-1])
    put(tmp_path / "local")
    assert fetch("tinyface", tmp_path / "downloads").read_bytes() == DATA


def test_the_publisher_s_address_gives_the_file(here: Path, lists: Listing) -> None:
    with server(b"HTTP/1.0 200 OK\r\n\r\n" + DATA) as url:
        lists(url=url)
        assert fetch("tinyface").read_bytes() == DATA


def test_a_redirection_is_followed(tmp_path: Path, here: Path, lists: Listing) -> None:
    with server(b"HTTP/1.0 200 OK\r\n\r\n" + DATA) as last:
        lists(url=last)
        with server(f"HTTP/1.0 302 Found\r\nLocation: {last}\r\n\r\n".encode()) as first:
            lists(url=first)
            assert fetch("tinyface").read_bytes() == DATA


ANSWERS = {
    "page": (b"HTTP/1.0 200 OK\r\n\r\n<html>please log in</html>", r"not the pinned file \(26 bytes"),
    "longer": (b"HTTP/1.0 200 OK\r\n\r\n" + DATA + DATA, r"not the pinned file \(2,051 bytes"),
    "cut": (b"HTTP/1.0 200 OK\r\nContent-Length: 2050\r\n\r\n" + DATA[:700], "(700 bytes|IncompleteRead)"),
    "gone": (b"HTTP/1.0 404 Not Found\r\n\r\n", "Not Found"),
    "not HTTP": (b"220 mail.example ESMTP\r\n", "220 mail.example ESMTP"),
    "nothing": (b"", "Remote end closed connection"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_wrong_answer_of_the_publisher_is_told_and_leaves_nothing(here: Path, lists: Listing, answer: str) -> None:
    data, says = ANSWERS[answer]
    with server(data) as url:
        lists(url=url)
        with pytest.raises(Unavailable, match=says):
            fetch("tinyface")
    assert everything(here) == []


def test_when_every_place_fails_the_message_says_what_each_answered(
    tmp_path: Path, here: Path, lists: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "local", b"old")
    without_registry(monkeypatch, tmp_path / "no-wheels")
    lists(wheel=Wheel("tinyface", "1.0", "tinyface/tinyface.onnx"))
    with pytest.raises(Unavailable) as caught:
        fetch("tinyface", tmp_path / "downloads")
    said = str(caught.value)
    assert f"folder {tmp_path}/downloads: [Errno 2] No such file" in said
    assert f"folder {tmp_path}/local: not the pinned file (3 bytes" in said
    assert "package tinyface 1.0: ERROR: No matching distribution found for tinyface==1.0" in said
    assert "http://127.0.0.1:9/tinyface.onnx: [Errno 111] Connection refused" in said
    assert "run 'edge model fetch tinyface --from FOLDER'" in said
    assert "\n" not in said


def without_registry(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip know this folder of wheels and nothing else."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def make_wheel(folder: Path, members: dict[str, bytes]) -> None:
    about = "tinyface-1.0.dist-info"
    metadata = {f"{about}/METADATA": b"Metadata-Version: 2.1\nName: tinyface\nVersion: 1.0\n"}
    wheel = {
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / "tinyface-1.0-py3-none-any.whl", "w") as archive:
        for name, data in {**members, **metadata, **wheel}.items():
            archive.writestr(name, data)


def test_a_registry_s_wheel_gives_the_file(
    tmp_path: Path, here: Path, lists: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_registry(monkeypatch, tmp_path / "wheels")
    make_wheel(tmp_path / "wheels", {"tinyface/tinyface.onnx": DATA})
    lists(wheel=Wheel("tinyface", "1.0", "tinyface/tinyface.onnx"))
    assert fetch("tinyface").read_bytes() == DATA


def test_a_wheel_without_the_file_is_told(
    tmp_path: Path, here: Path, lists: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_registry(monkeypatch, tmp_path / "wheels")
    make_wheel(tmp_path / "wheels", {})
    lists(wheel=Wheel("tinyface", "1.0", "tinyface/tinyface.onnx"))
    with pytest.raises(Unavailable, match=r"package tinyface 1.0: .*no item named 'tinyface/tinyface.onnx'"):
        fetch("tinyface")


# --- writing ---


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, here: Path, lists: Listing) -> None:
    put(tmp_path / "local")
    here.write_text("a file where the folder should be")
    with pytest.raises(DiskError, match=r"cannot write .*tinyface.onnx: "):
        fetch("tinyface")


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, here: Path, lists: Listing, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def breaks(_fd: int) -> None:
        raise fault

    put(tmp_path / "local")
    monkeypatch.setattr(os, "fsync", breaks)
    with pytest.raises((DiskError, KeyboardInterrupt)):
        fetch("tinyface")
    assert everything(here) == []


def test_a_file_that_is_swapped_after_the_check_is_not_what_is_loaded(here: Path, lists: Listing) -> None:
    path = put(here)
    file = locate("tinyface")
    path.write_bytes(b"another model")
    assert file.data == DATA
