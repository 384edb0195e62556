"""``deploy/push`` to real doors: real systemd, real sshd, real bundles. ``make test-deploy``.

One door is installed and switched off; each story begins with a copy of it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.places import PACKAGE
from tests.deploy.bench import Bench, Door, make_key, missing
from tests.deploy.workstation import CLIP, Broker, brokering, give_clip, install
from tests.edge.bundles import CRASHING_MODEL, ENDLESS_MODEL, INPUT, MODEL, looping_bundle, make_bundle
from tests.edge.sinks.certificates import make_authority, make_certificate
from tests.mosquitto import Subscriber, subscribed
from tests.service.rootfs import CACHE

WHY_NOT = missing()
pytestmark = [pytest.mark.deploy, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-deploy {WHY_NOT}")]

ROOT = PACKAGE.parent
SHIPPED = ROOT / "models" / "mask-mnv2"
PLAYBOOKS = CACHE / "ansible" / "bin"
LONG_S = 120.0
OTHER = {"mask": "no_mask", "no_mask": "mask"}


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    doors: dict[str, dict[str, Any]]
    err: str

    def state(self, door: Door) -> str:
        assert self.doors, self.err
        return str(self.doors[door.name]["state"])


def push(bench: Bench, key: Path, bundle: Path, *words: str) -> Said:
    argv = [str(ROOT / "deploy/push"), "-F", str(bench.ssh_config), "-l", "mask-edge-deploy", "-i", str(key), "--json"]
    done = subprocess.run([*argv, str(bundle), *words], capture_output=True, text=True, timeout=900, check=False)
    doors = {one["door"]: one for one in json.loads(done.stdout)["doors"]} if done.stdout else {}
    return Said(done.returncode, doors, done.stderr)


def named(folder: Path, name: str, **values: Any) -> Path:
    """The shipped model by another name; values: of bundle.json."""
    shutil.copytree(SHIPPED, folder / name)
    manifest = folder / name / "bundle.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "name": name, **values}))
    return folder / name


@pytest.fixture(scope="module")
def key(bench: Bench) -> Path:
    path = bench.folder / "push_key"
    make_key(path)
    return path


@pytest.fixture(scope="module")
def broker(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("push-broker")
    make_authority(folder)
    certificate, private = make_certificate(folder, "broker", "IP:127.0.0.1")
    with brokering(folder, certificate, private, ("nobody", "nothing")) as running:
        yield running


@pytest.fixture(scope="module")
def installed(bench: Bench, key: Path, broker: Broker) -> Door:
    """Publishes on loopback of its own wire; switched off."""
    door = bench.door("pattern")
    give_clip(door)
    words = ("--camera", CLIP, "--broker", f"mqtt://{door.gateway}:{broker.plain}", "--debs", str(bench.debs))
    said = install(bench, door.name, *words, "--deploy-key", f"{key}.pub")
    assert said.code == 0, said.err
    door.switch_off()
    return door


@pytest.fixture
def door(bench: Bench, installed: Door, broker: Broker, request: pytest.FixtureRequest) -> Iterator[Door]:
    """A copy of it, at work."""
    words = "".join(c if c.isalnum() else "-" for c in request.node.name.removeprefix("test_").lower())
    name = f"{words[:20].strip('-')}-{zlib.crc32(request.node.name.encode()):08x}"  # each door has a name of its own
    made = bench.door(name, on=installed, is_booted=False)
    config = made.root / "etc/mask-edge/config.toml"
    text = config.read_text().replace(installed.gateway, made.gateway).replace('"pattern"', f'"{name}"')
    config.write_text(text)
    made.boot()
    until(lambda: status(made)["fps"] > 0, "the daemon is at work")
    yield made
    made.cut_power()


def until(holds: Callable[[], bool], what: str, limit_s: float = LONG_S) -> float:
    began_s = time.monotonic()
    while True:
        with contextlib.suppress(AssertionError, ValueError, TypeError):
            if holds():
                return time.monotonic() - began_s
        assert time.monotonic() - began_s < limit_s, f"not within {limit_s:.0f} s: {what}"
        time.sleep(0.2)


def status(door: Door) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(door.run("edge", "status", "--json"))
    return found


def serves_the_old_one(door: Door) -> None:
    until(lambda: str(status(door)["model"]).startswith("mask-mnv2@"), "the old model serves")
    before = status(door)["seq"]
    until(lambda: status(door)["seq"] > before, "events go on")


# --- a good one ---


def test_a_good_bundle_comes_to_work_while_events_go_on(
    bench: Bench, key: Path, door: Door, broker: Broker, tmp_path: Path
) -> None:
    with subscribed(broker.plain, f"mask-edge/{door.name}/event") as subscriber:
        until(lambda: len(subscriber.received) >= 3, "three events")
        pid = door.machine.pid()
        said = push(bench, key, named(tmp_path, "second"), door.name)
        assert (said.code, said.state(door)) == (0, "at work"), said.err
        until(lambda: events(subscriber)[-1]["model"].startswith("second@"), "an event names it")
        until(lambda: len(subscriber.received) >= 30, "more events", 180)
    seen = events(subscriber)
    assert [event["seq"] for event in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + len(seen)))
    gaps = [after["t"] - before["t"] for before, after in itertools.pairwise(seen)]
    print(f"\nlongest gap between two of {len(seen)} events: {max(gaps):.1f} s; the clip's own is 6 s")
    assert door.machine.pid() == pid
    assert max(gaps) < 10
    again = push(bench, key, tmp_path / "second", door.name)
    assert (again.code, again.state(door)) == (0, "was so"), again.err
    assert "sending" not in again.err


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in list(subscriber.received)]


# --- bad ones ---


def test_what_a_workstation_can_see_is_never_sent(bench: Bench, key: Path, door: Door, tmp_path: Path) -> None:
    spoilt: dict[str, Callable[[Path], object]] = {
        "flipped": lambda bundle: flip(bundle / "model.tflite"),
        "truncated": lambda bundle: (bundle / "model.tflite").write_bytes((bundle / "model.tflite").read_bytes()[:-9]),
        "labels": lambda bundle: listed_anew(bundle, "labels.txt", b"no_mask\nmask\nincorrect\n"),
        "task": lambda bundle: rewrite(bundle, task="detector"),
        "golden": lambda bundle: listed_anew(bundle, "golden/expected.json", other_answers(bundle)),
    }
    for name, spoil in spoilt.items():
        spoil(bundle := named(tmp_path, name))
        said = push(bench, key, bundle, door.name)
        assert said.code == 65, f"{name}: {said.err}"
        assert said.doors == {}
    assert door.run("sh", "-c", "ls /var/lib/mask-edge/models 2>/dev/null || true") == ""
    serves_the_old_one(door)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def listed_anew(bundle: Path, name: str, data: bytes) -> None:
    """A file that is not what it was, with its right hash."""
    (bundle / name).write_bytes(data)
    files = json.loads((bundle / "bundle.json").read_text())["files"]
    rewrite(bundle, files={**files, name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}})


def other_answers(bundle: Path) -> bytes:
    """As if by another model: the other label for each golden input."""
    found = json.loads((bundle / "golden/expected.json").read_text())
    for case in found["inputs"]:
        case["p_mask"], case["label"] = 1 - case["p_mask"], OTHER[case["label"]]
    return json.dumps(found).encode()


def rewrite(bundle: Path, **values: Any) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **values}))


def test_a_door_that_wants_signatures_takes_signed_ones_only(
    bench: Bench, key: Path, door: Door, tmp_path: Path
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    make_key(own)
    make_key(other)
    public = own.with_suffix(".pub").read_text()
    (door.root / "etc/mask-edge/allowed_signers").write_text(f"site {public}")
    door.run(
        "sh", "-c", "chown root:mask-edge /etc/mask-edge/allowed_signers; chmod 640 /etc/mask-edge/allowed_signers"
    )
    bundle = named(tmp_path, "second")
    unsigned = push(bench, key, bundle, door.name)
    assert (unsigned.code, "is not signed" in unsigned.doors[door.name]["why"]) == (65, True), unsigned.err
    wrong = push(bench, key, bundle, door.name, "--sign", str(other))
    assert (wrong.code, "its signature is not one of" in wrong.doors[door.name]["why"]) == (65, True), wrong.err
    serves_the_old_one(door)
    right = push(bench, key, bundle, door.name, "--sign", str(own))
    assert (right.code, right.state(door)) == (0, "at work"), right.err
    assert door.run("sh", "-c", f"grep -rl '{own.read_text().splitlines()[3]}' /etc /var/lib /home /root; true") == ""


def test_a_model_that_stalls_the_daemon_is_given_up(bench: Bench, key: Path, door: Door, tmp_path: Path) -> None:
    """It passes every self-test, on the workstation and on the door."""
    said = push(bench, key, looping_bundle(tmp_path / "endless", "endless", ENDLESS_MODEL), door.name)
    assert (said.code, said.state(door)) == (65, "rolled back"), said.err
    assert "died or hung" in said.doors[door.name]["why"]
    serves_the_old_one(door)


def test_a_full_disk_takes_nothing(bench: Bench, key: Path, door: Door, tmp_path: Path) -> None:
    door.run("sh", "-c", "mkdir -p /var/lib/mask-edge/models; mount -t tmpfs -o size=2m none /var/lib/mask-edge/models")
    door.run("chown", "mask-edge:mask-edge", "/var/lib/mask-edge/models")
    said = push(bench, key, named(tmp_path, "second"), door.name)
    assert said.code == 74, said.err
    assert door.run("ls", "/var/lib/mask-edge/models") == ""
    serves_the_old_one(door)


def test_of_two_pushes_at_once_one_waits_for_its_turn(bench: Bench, key: Path, door: Door, tmp_path: Path) -> None:
    found: list[Said] = []
    bundles = [named(tmp_path, name) for name in ("second", "third")]
    threads = [threading.Thread(target=lambda b=b: found.append(push(bench, key, b, door.name))) for b in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said.code for said in found) == [0, 75], [said.err for said in found]
    (refused,) = [said for said in found if said.code]
    assert refused.doors[door.name]["state"] == "failed"
    (taken,) = [said for said in found if not said.code]
    tag = json.loads(door.run("edge", "model", "list", "--json"))["active"]
    assert tag in taken.err


def test_a_clock_one_year_off_changes_nothing(bench: Bench, key: Path, door: Door, tmp_path: Path) -> None:
    """The clock is the kernel's, and this machine's: so the files are of next year, and the door's of this one."""
    bundle = named(tmp_path, "second")
    for path in (bundle, *bundle.rglob("*")):
        subprocess.run(["touch", "-d", "+1 year", str(path)], check=True)
    said = push(bench, key, bundle, door.name)
    assert (said.code, said.state(door)) == (0, "at work"), said.err


# --- what a door is sent all the same, past deploy/push ---


def test_a_door_believes_no_workstation(bench: Bench, key: Path, door: Door, tmp_path: Path) -> None:
    """By ``tar | ssh``: each goes to the door as it is, and the door says what is wrong with it."""

    spoilt = {
        "was altered": make_bundle(tmp_path / "flipped"),
        "1,000 bytes instead of 1,640": make_bundle(tmp_path / "truncated"),
        "a classifier is needed": make_bundle(tmp_path / "task", task="detector"),
        "the model has": make_bundle(tmp_path / "input", input={**INPUT, "shape": [1, 16, 16, 3]}),
        "labels.txt says": make_bundle(tmp_path / "labels", {"labels.txt": b"no_mask\nmask\nincorrect\n"}),
        "self-test failed": make_bundle(tmp_path / "golden", {"golden/expected.json": WRONG}),
        "ends the interpreter's process": make_bundle(tmp_path / "crash", {"model.tflite": CRASHING_MODEL}),
    }
    flip(tmp_path / "flipped" / "model.tflite")
    (tmp_path / "truncated" / "model.tflite").write_bytes(MODEL[:1000])
    for why, bundle in spoilt.items():
        code, said = sent_by_hand(bench, key, door, bundle)
        assert (code, why in said) == (65, True), f"{bundle.name}: {code} {said}"
        assert door.run("ls", MODELS) == "", bundle.name
    serves_the_old_one(door)
    assert sent_by_hand(bench, key, door, make_bundle(tmp_path / "good"))[0] == 0  # or nothing was shown above
    assert door.run("ls", MODELS).startswith("tiny@")


WRONG = b'{"inputs":[{"file":"green.png","label":"no_mask","p_mask":0.01}]}'
MODELS = "/var/lib/mask-edge/models"


def sent_by_hand(bench: Bench, key: Path, door: Door, bundle: Path) -> tuple[int, str]:
    stream = subprocess.run(["tar", "-C", bundle, "-c", "."], check=True, capture_output=True).stdout
    argv = ["ssh", "-F", str(bench.ssh_config), "-i", str(key), f"mask-edge-deploy@{door.name}"]
    done = subprocess.run([*argv, "edge model install -"], input=stream, capture_output=True, timeout=120, check=False)
    return done.returncode, done.stderr.decode()


# --- by Ansible ---


@pytest.mark.skipif(not (PLAYBOOKS / "ansible-playbook").exists(), reason="make test-deploy brings Ansible")
def test_a_playbook_brings_it_by_the_same_commands_and_stops_at_the_first_that_fails(
    bench: Bench, key: Path, door: Door, tmp_path: Path
) -> None:
    inventory = tmp_path / "doors.yaml"
    inventory.write_text(f"doors:\n  hosts:\n    {door.name}: {{ansible_host: {door.address}}}\n    another: {{}}\n")
    alone = inventory.with_name("alone.yaml")
    alone.write_text(inventory.read_text().replace("    another: {}\n", ""))
    flip(make_bundle(tmp_path / "flipped") / "model.tflite")
    refused = play(bench, key, inventory, tmp_path / "flipped")
    assert refused.returncode == 2, refused.stdout
    assert "was altered" in refused.stdout
    assert "another" not in refused.stdout
    serves_the_old_one(door)
    bundle = named(tmp_path, "second")
    first, second = play(bench, key, alone, bundle), play(bench, key, alone, bundle)
    assert (first.returncode, "changed=1" in first.stdout) == (0, True), first.stdout
    assert (second.returncode, "changed=0" in second.stdout) == (0, True), second.stdout
    until(lambda: str(status(door)["model"]).startswith("second@"), "the new model")


def play(bench: Bench, key: Path, inventory: Path, bundle: Path) -> subprocess.CompletedProcess[str]:
    ssh = f"ssh -F {bench.ssh_config} -i {key}"
    said = json.dumps({"bundle": str(bundle), "ssh": ssh})
    argv = [
        str(PLAYBOOKS / "ansible-playbook"),
        "-i",
        str(inventory),
        str(ROOT / "deploy/ansible/push.yml"),
        "-e",
        said,
    ]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


# --- cut, at each step in turn ---


def files(door: Door) -> Path:
    return door.root / MODELS.removeprefix("/")


def is_tested(door: Door, name: str) -> bool:
    """Whether the door's self-test of a bundle of this name runs: its processes are this machine's, too."""
    needle = f"edge.models.selftest\0{MODELS}/{name}".encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if needle in process.read_bytes() and door.holds(int(process.parent.name)):
                return True
    return False


def trial(door: Door) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((files(door) / "trial.json").read_text())
        return found
    return {}


STEPS: dict[str, Callable[[Door], bool]] = {
    "it arrives": lambda door: (files(door) / ".install.new").is_dir(),
    "it is tried as it arrived": lambda door: is_tested(door, "."),
    "it is installed": lambda door: any(files(door).glob("second@*")),
    "it is tried before the switch": lambda door: is_tested(door, "second@"),
    "it is switched to": lambda door: (files(door) / "active").is_symlink(),
    "it is on trial": lambda door: bool(trial(door).get("is_at_work")),
}


@contextlib.contextmanager
def pushed_until(
    step: str, bench: Bench, key: Path, door: Door, bundle: Path
) -> Iterator[concurrent.futures.Future[Said]]:
    """A push that goes on meanwhile, at the moment in which its step can be seen at the door."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(push, bench, key, bundle, door.name)
        while not STEPS[step](door):
            assert not running.done(), f"the push ended, and nobody saw that {step}: {running.result().err}"
            time.sleep(0.002)
        yield running


def whole(door: Door) -> bool:
    return str(status(door)["model"]).startswith(("mask-mnv2@", "second@"))


def taken_up_again(said: Said, bench: Bench, key: Path, door: Door, bundle: Path) -> None:
    """At the latest by the next push."""
    if said.code:
        assert said.doors[door.name]["exit_code"] in (69, 75), said.err
        said = push(bench, key, bundle, door.name)
    assert said.code == 0, said.err
    until(lambda: str(status(door)["model"]).startswith("second@"), "the new model")


def cut_the_line(door: Door) -> None:
    door.pull_cable()
    time.sleep(20)  # ssh takes a line for cut after 15 s
    until(lambda: whole(door), "a whole model serves")
    door.pull_cable(is_out=False)


def cut_the_power(door: Door) -> None:
    """kill -9 of the container. The page cache survives it; ``make trace`` shows that all is synced in order."""
    door.cut_power()
    door.boot()
    until(lambda: status(door)["fps"] > 0, "the daemon is at work")
    assert whole(door)


@pytest.mark.parametrize("cut", [cut_the_line, cut_the_power])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_is_cut_a_whole_model_is_at_work_and_the_push_is_taken_up_again(
    bench: Bench, key: Path, door: Door, tmp_path: Path, step: str, cut: Callable[[Door], None]
) -> None:
    bundle = named(tmp_path, "second")
    with pushed_until(step, bench, key, door, bundle) as running:
        cut(door)
        said = running.result(600)
    taken_up_again(said, bench, key, door, bundle)
