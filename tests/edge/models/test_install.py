"""What speaks against a bundle on this machine, each by a real bundle that has it; it changes nothing."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.doors.parcel import parcel
from edge.errors import DataError, Refused, Unavailable
from edge.models.install import install, verify
from edge.models.selftest import self_test
from edge.models.signing import allowed_signers
from edge.models.store import Store
from edge.models.unpack import Impatient, unpack
from edge.places import PACKAGE
from tests.edge.bundles import CRASHING_MODEL, ENDLESS_MODEL, INPUT, looping_bundle, make_bundle, png

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="apt install openssh-client")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))
    (tmp_path / "etc").mkdir()
    return Store(tmp_path / "state" / "models")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "good", name="good")


def refusal(store: Store, bundle: Path) -> str:
    """Why it is refused; nothing is left of it."""
    with pytest.raises(DataError) as caught:
        install(bundle, store)
    assert store.tags() == []
    assert caught.value.exit_code == 65
    return str(caught.value)


# --- the bundle itself ---


def test_a_truncated_copy(store: Store, good: Path) -> None:
    model = (good / "model.tflite").read_bytes()
    (good / "model.tflite").write_bytes(model[:1000])
    assert "model.tflite has 1,000 bytes instead of 1,640: copy the bundle again" in refusal(store, good)


def test_a_flipped_byte(store: Store, good: Path) -> None:
    model = bytearray((good / "model.tflite").read_bytes())
    model[700] ^= 1
    (good / "model.tflite").write_bytes(model)
    assert "model.tflite was altered (SHA-256 differs)" in refusal(store, good)


def test_a_model_of_another_task(store: Store, tmp_path: Path) -> None:
    said = refusal(store, make_bundle(tmp_path / "b", task="detector"))
    assert said.endswith("is for task 'detector': a classifier is needed")


def test_a_model_of_another_input(store: Store, tmp_path: Path) -> None:
    said = refusal(store, make_bundle(tmp_path / "b", input={**INPUT, "shape": [1, 8, 16, 3]}))
    assert "input shape (1, 8, 16, 3) must be (1, side, side, 3)" in said
    assert "the model has" in refusal(store, make_bundle(tmp_path / "c", input={**INPUT, "shape": [1, 16, 16, 3]}))


def test_labels_in_another_order(store: Store, tmp_path: Path) -> None:
    said = refusal(store, make_bundle(tmp_path / "b", {"labels.txt": b"no_mask\nmask\nincorrect\n"}))
    assert "labels.txt says ('no_mask', 'mask', 'incorrect'), must be" in said


def test_a_model_that_says_something_else_here(store: Store, tmp_path: Path) -> None:
    expected = b'{"inputs":[{"file":"green.png","label":"no_mask","p_mask":0.01}]}'
    said = refusal(store, make_bundle(tmp_path / "b", {"golden/expected.json": expected}))
    assert f"bundle {tmp_path}/b: self-test failed" in said
    assert "green.png gives mask 0.99" in said


def test_a_model_that_ends_the_interpreter_s_process(store: Store, tmp_path: Path) -> None:
    said = refusal(store, make_bundle(tmp_path / "b", {"model.tflite": CRASHING_MODEL}))
    assert "its model ends the interpreter's process (SIGSEGV): do not use it here" in said or "cannot be run" in said


def test_a_model_that_never_ends_is_ended(tmp_path: Path) -> None:
    two_colours = np.zeros((8, 8, 3), np.uint8)
    two_colours[:4] = 255  # which costs this model its loop
    bundle = looping_bundle(tmp_path / "b", "endless", ENDLESS_MODEL, {"golden/green.png": png(two_colours)})
    began_s = time.monotonic()
    with pytest.raises(DataError, match="its self-test did not end within 6 s: do not use it here"):
        self_test(bundle, limit_s=6)
    assert time.monotonic() - began_s < 30
    orphan = [sys.executable, "-m", "edge.models.selftest", str(bundle), "2"]  # nobody waits for it
    assert subprocess.run(orphan, cwd=PACKAGE.parent, timeout=60, check=False).returncode == -signal.SIGXCPU


# --- signatures ---


class Signers:
    """Keys of ssh-keygen, and a machine's list of them."""

    def __init__(self, folder: Path, allowed: Path) -> None:
        self._folder, self._allowed = folder, allowed
        folder.mkdir()

    def key(self, name: str) -> Path:
        path = self._folder / name
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path

    def sign(self, bundle: Path, name: str, namespace: str = "mask-edge-bundle") -> Path:
        (bundle / "bundle.json.sig").unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.key(name)), "-n", namespace]
        subprocess.run([*command, str(bundle / "bundle.json")], check=True, capture_output=True)
        return bundle

    def allow(self, *lines: str) -> None:
        """Each: ``NAME`` or ``NAME OPTIONS``."""
        with self._allowed.open("w") as file:
            for line in lines:
                name, _, options = line.partition(" ")
                file.write(f"{name}@site {options} {self.key(name).with_suffix('.pub').read_text()}")


@pytest.fixture
def signers(tmp_path: Path, store: Store) -> Signers:
    return Signers(tmp_path / "keys", tmp_path / "etc" / "allowed_signers")


@needs_ssh_keygen
def test_where_nobody_said_who_may_sign_nothing_is_asked(signers: Signers, good: Path) -> None:
    assert verify(good).signed.in_words() == "unsigned"
    assert verify(signers.sign(good, "release")).signed.in_words() == "signature not checked"


@needs_ssh_keygen
def test_signed_as_it_must_be(signers: Signers, store: Store, good: Path) -> None:
    signers.allow("old", 'release namespaces="mask-edge-bundle"')
    assert verify(signers.sign(good, "release")).signed.in_words() == "signed by release@site"
    assert store.tags() == [] or install(good, store)


@needs_ssh_keygen
def test_unsigned_where_it_must_be_signed(signers: Signers, store: Store, good: Path) -> None:
    signers.allow("release")
    assert "is not signed, and" in refusal(store, good)


@needs_ssh_keygen
@pytest.mark.parametrize("wrong", ["another key", "another namespace", "of another bundle", "garbage"])
def test_a_wrong_signature(signers: Signers, store: Store, good: Path, tmp_path: Path, wrong: str) -> None:
    signers.allow("release")
    other = signers.sign(make_bundle(tmp_path / "other", name="other"), "release")
    acts: dict[str, Callable[[], Any]] = {
        "another key": lambda: signers.sign(good, "stranger"),
        "another namespace": lambda: signers.sign(good, "release", "file"),
        "of another bundle": lambda: shutil.copy(other / "bundle.json.sig", good),
        "garbage": lambda: (good / "bundle.json.sig").write_text("signed, me"),
    }
    acts[wrong]()
    assert "its signature is not one of" in refusal(store, good)


@needs_ssh_keygen
def test_a_key_that_is_not_valid_yet_is_refused_with_the_time_of_this_board(
    signers: Signers, store: Store, good: Path
) -> None:
    signers.allow('release valid-after="20990101"')
    assert "key is not yet valid: verify time" in refusal(store, signers.sign(good, "release"))


@needs_ssh_keygen
def test_a_signature_that_came_later_is_taken_to_the_bundle_that_is_here(
    signers: Signers, store: Store, good: Path
) -> None:
    tag = install(good, store)
    signers.allow("release")
    assert install(signers.sign(good, "release"), store) == tag
    assert verify(store.path(tag)).signed.state == "good"


@needs_ssh_keygen
@pytest.mark.skipif(shutil.which("faketime") is None, reason="apt install faketime")
@pytest.mark.parametrize("clock", ["-1y", "+1y"])
def test_a_clock_one_year_off_changes_nothing(signers: Signers, store: Store, good: Path, clock: str) -> None:
    signers.allow("release")
    signed = str(signers.sign(good, "release"))
    command = ["faketime", "-f", clock, sys.executable, "-m", "edge", "model", "install", signed]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, store.tags()[0]), done.stderr


@needs_ssh_keygen
def test_without_ssh_keygen_nothing_that_must_be_signed_is_believed(
    signers: Signers, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signers.allow("release")
    signers.sign(good, "release")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="ssh-keygen is not here, and signatures need it: apt install openssh-client"):
        verify(good)


def test_who_may_not_read_the_list_is_not_told_that_there_is_none(
    store: Store, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(Refused, match="allowed_signers may not be read by this user"):
        allowed_signers()


# --- from a stream ---


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    stream.seek(0)
    return stream


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_a_bundle_comes_as_a_stream_by_one_command(store: Store, good: Path) -> None:
    stream = subprocess.run(["tar", "-C", good, "-c", "."], check=True, capture_output=True).stdout
    command = [sys.executable, "-m", "edge", "model", "install", "-"]
    done = subprocess.run(command, cwd=PACKAGE.parent, input=stream, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode().strip()) == (0, store.tags()[0])


HOSTILE = {
    "a link": (member("model.tflite", tarfile.SYMTYPE, "/etc/passwd"), b""),
    "a hard link": (member("model.tflite", tarfile.LNKTYPE, "/etc/passwd"), b""),
    "a device": (member("model.tflite", tarfile.CHRTYPE), b""),
    "a pipe": (member("model.tflite", tarfile.FIFOTYPE), b""),
    "an absolute path": (member("/tmp/model.tflite"), b"x"),
    "a path that leads out": (member("golden/../../model.tflite"), b"x"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_stream_with_anything_but_files_below_it_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match="which is no plain file below it: send it with 'tar"):
        unpack(tar(HOSTILE[what]), tmp_path / "into", lambda _size: None)
    assert list((tmp_path / "into").iterdir()) == []
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_a_stream_that_names_one_thing_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="twice"):
        unpack(tar(*((member(name), b"x") for name in names)), tmp_path, lambda _size: None)


def test_a_stream_that_breaks_off_is_no_bundle(store: Store, good: Path) -> None:
    stream = subprocess.run(["tar", "-C", good, "-c", "."], check=True, capture_output=True).stdout
    for length in range(0, len(stream.rstrip(b"\0")), 1500):  # zeros are all that may be missing
        with pytest.raises(DataError):
            install(io.BytesIO(stream[:length]), store, test=lambda _bundle: "")
        assert store.tags() == []


def test_a_stream_without_an_end_is_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.models.unpack.MAX_BYTES", 1 << 16)
    monkeypatch.setattr("edge.models.unpack.ROOM_FOR_HEADERS", 1 << 16)
    with pytest.raises(DataError, match="holds more than"):
        unpack(tar((member("a"), bytes(1 << 20))), tmp_path, lambda _size: None)


def test_a_stream_with_a_folder_around_the_bundle_is_told_how_to_be_sent(store: Store, good: Path) -> None:
    stream = subprocess.run(["tar", "-C", good.parent, "-c", good.name], check=True, capture_output=True).stdout
    with pytest.raises(DataError, match=r"holds no bundle\.json at its top.*: send it with 'tar -C BUNDLE -c \.'"):
        install(io.BytesIO(stream), store)


def test_a_file_that_is_said_to_be_huge_is_no_question_of_room(store: Store) -> None:
    stream, info = io.BytesIO(), member("model.tflite")
    info.size = 1 << 40
    stream.write(info.tobuf())
    stream.seek(0)
    with pytest.raises(DataError, match="holds more than 256 MiB: that is no bundle"):
        install(stream, store)


def test_room_is_asked_for_before_each_file(tmp_path: Path) -> None:
    asked: list[int] = []
    unpack(tar((member("a"), b"12345"), (member("b/c"), b"123")), tmp_path, asked.append)
    assert asked == [5, 3]


def test_a_stream_that_falls_silent_is_given_up_and_the_folder_is_free_again(tmp_path: Path, store: Store) -> None:
    """What a cut line looks like from here: no end, and no more bytes."""
    ours, theirs = os.pipe()
    try:
        os.write(theirs, parcel(make_bundle(tmp_path / "tiny")).stream[:700])
        with pytest.raises(Unavailable, match=r"no more of the bundle came within 0\.2 s"):
            install(io.BufferedReader(Impatient(ours, 0.2)), store, test=lambda _: "")
    finally:
        os.close(theirs)
        os.close(ours)
    assert install(make_bundle(tmp_path / "other", name="other"), store, test=lambda _: "") in store.tags()


@pytest.mark.parametrize("name", ["/".join("d" * 1100), "d" * 300], ids=["deep", "long"])
def test_a_name_that_could_not_be_taken_away_again_is_refused_and_the_next_install_works(
    store: Store, good: Path, name: str
) -> None:
    with pytest.raises(DataError, match="deeper or longer than any name of a bundle"):
        install(tar((member(name), b"x")), store)
    assert not list(store.folder.glob(".install*"))
    assert install(good, store, test=lambda _: "") in store.tags()


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("nowhere"), lambda path: path.mkdir()])
def test_allowed_signers_that_cannot_be_followed_turn_no_check_off(
    store: Store, good: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "etc" / "allowed_signers")
    assert "allowed_signers is a " in refusal(store, good)
