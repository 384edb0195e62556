"""``deploy/install`` on bare Debians with a real systemd and a real sshd, from which no registry can be reached.

``make test-deploy``. The tests are one story of two doors, told in order.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.bench import Bench, Door, make_key, missing, serving
from tests.deploy.workstation import CLIP, Broker, another_version, brokering, files_of, give_clip, install
from tests.edge.sinks.certificates import make_authority, make_certificate
from tests.mosquitto import Subscriber, free_port, subscribed

WHY_NOT = missing()
pytestmark = [pytest.mark.deploy, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-deploy {WHY_NOT}")]

EVENTS_S = 60.0
LOGIN = ("back-door", "geheim und lang")
SUDO_PASSWORD = "hinein"


@pytest.fixture(scope="module")
def door(bench: Bench) -> Door:
    """Bare, and as bare as can be: no mirror either."""
    made = bench.door("front-door")
    give_clip(made)
    return made


@pytest.fixture(scope="module")
def second(bench: Bench) -> Door:
    """Bare, with a user who may use sudo with a password."""
    made = bench.door("back-door")
    give_clip(made)
    made.run("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", "pi")
    made.run("sh", "-c", f"echo pi:{SUDO_PASSWORD} | chpasswd")
    made.run("install", "-D", "-o", "pi", "-m", "600", "/root/.ssh/authorized_keys", "/home/pi/.ssh/authorized_keys")
    return made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    return folder


@pytest.fixture(scope="module")
def broker(bench: Bench, second: Door, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    certificate, key = make_certificate(authority, "broker", f"IP:{second.gateway}")
    with brokering(tmp_path_factory.mktemp("broker"), certificate, key, LOGIN) as running:
        yield running


@pytest.fixture(scope="module")
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    with subscribed(broker.plain, "mask-edge/#") as one:
        yield one


@pytest.fixture(scope="module")
def deploy_key(bench: Bench) -> Path:
    key = bench.folder / "deploy_key"
    make_key(key)
    return key


@pytest.fixture(scope="module")
def words(bench: Bench, door: Door, broker: Broker, deploy_key: Path) -> tuple[str, ...]:
    """The first door, as one names it on the command line."""
    said = ("--camera", CLIP, "--broker", f"mqtt://{door.gateway}:{broker.plain}")
    return (door.name, *said, "--debs", str(bench.debs), "--deploy-key", f"{deploy_key}.pub")


def events_of(subscriber: Subscriber, device: str) -> list[dict[str, object]]:
    topic = f"mask-edge/{device}/event"
    return [json.loads(message.payload) for message in list(subscriber.received) if message.topic == topic]


# --- a first door ---


def test_from_a_door_there_is_no_way_but_to_the_workstation(door: Door) -> None:
    assert door.run("ip", "route", "get", "151.101.0.223", check=False) == ""
    assert door.run("getent", "hosts", "pypi.org", check=False) == ""
    assert door.run("sh", "-c", "command -v python3", check=False) == ""


def test_dry_run_tells_every_step_and_touches_nothing(bench: Bench, door: Door, words: tuple[str, ...]) -> None:
    before = files_of(door)
    said = install(bench, *words, "--dry-run")
    assert said.code == 0, said.err
    assert files_of(door) == before
    assert said.out.split("\n")[1].split() == [door.name, "14", "done"]
    for step in ("apt-get", "systemd-sysusers", "pip install", "visudo -cqf", "systemd-run"):
        assert step in said.err


def test_what_is_missing_is_said_before_anything_is_done(bench: Bench, door: Door) -> None:
    said = install(bench, door.name)
    assert (said.code, said.err) == (64, "")
    assert "no camera was named: give --camera" in said.out
    assert "mask-edge" not in door.run("ls", "/opt", "/etc/systemd/system")


def test_a_bare_debian_becomes_a_publishing_door(
    bench: Bench, door: Door, words: tuple[str, ...], subscriber: Subscriber
) -> None:
    said = install(bench, *words)
    assert said.code == 0, said.err + said.out
    assert "ok" in said.out
    subscriber_sees(subscriber, "front-door", 3)
    print(said.out)


def subscriber_sees(subscriber: Subscriber, device: str, count: int) -> None:
    deadline = time.monotonic() + EVENTS_S
    while len(events_of(subscriber, device)) < count:
        assert time.monotonic() < deadline, f"{len(events_of(subscriber, device))} events of {device}"
        time.sleep(0.2)


def test_the_second_install_changes_nothing_and_says_so(bench: Bench, door: Door, words: tuple[str, ...]) -> None:
    before, pid = files_of(door), door.machine.pid()
    said = install(bench, *words, "--json")
    found = said.doors()[door.name]
    assert (said.code, found["changed"]) == (0, 0), said.err
    assert {step["state"] for step in found["steps"]} == {"is so"}
    assert found["status"]["model"].startswith("mask-mnv2@")
    assert "0 changed" in install(bench, *words).out
    changed = {name for name, seen in files_of(door).items() if before.get(name) != seen}
    assert {name for name in changed if not name.startswith("var/lib/mask-edge/")} == set()
    assert door.machine.pid() == pid


def test_a_configuration_that_is_there_stays(bench: Bench, door: Door, words: tuple[str, ...]) -> None:
    config = "/etc/mask-edge/config.toml"
    assert door.run("stat", "-c", "%U:%G %a", config) == "root:mask-edge 640"
    door.run("sed", "-i", "s/^# Written.*/# mine/", config)
    said = install(bench, *words, "--json").doors()[door.name]
    (step,) = [one for one in said["steps"] if one["what"].startswith("configuration")]
    assert step["note"].startswith("the one that is there is kept")
    assert "# mine" in door.run("cat", config)
    replaced = install(bench, *words, "--replace-config", "--json").doors()[door.name]
    assert {one["what"] for one in replaced["steps"] if one["state"] == "done"} == {
        f"configuration {config}",
        "daemon running with all of it",
    }
    assert "# mine" in door.run("cat", f"{config}.before")


def test_it_is_up_again_after_a_power_cut(door: Door, subscriber: Subscriber) -> None:
    held = len(events_of(subscriber, "front-door"))
    door.cut_power()
    door.boot()
    subscriber_sees(subscriber, "front-door", held + 2)


# --- who may do what ---


def test_deployments_may_run_the_named_commands(bench: Bench, door: Door, deploy_key: Path) -> None:
    as_deployer = ("-i", str(deploy_key), "-l", "mask-edge-deploy")
    for command in ("edge status --json", "edge model list", "edge --version", "model list"):
        done = bench.ssh(door.name, command, *as_deployer)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert json.loads(bench.ssh(door.name, "edge status --json", *as_deployer).stdout)["status"] == "ok"


ATTEMPTS = (
    "",
    "sh -c 'touch /tmp/owned'",
    "touch /tmp/owned",
    "edge model list; touch /tmp/owned",
    "edge model list\ntouch /tmp/owned",
    "edge model list && touch /tmp/owned",
    "edge model list | tee /tmp/owned",
    "edge model list > /tmp/owned",
    "edge $(touch /tmp/owned) model list",
    "edge `touch /tmp/owned`",
    "edge ${IFS}touch${IFS}/tmp/owned",
    "-u root /bin/touch /tmp/owned",
    "edge -u root model list",
    "edge run --sink jsonl:/var/lib/mask-edge/owned",
    "edge classify /srv/loop.mp4 --annotate /tmp/owned",
    "edge model fetch --from /tmp",
    "edge model install /etc/shadow",
    "edge model install - --config /tmp/owned",
    "edge model activate ../../../../tmp/x@000000000000",
    "edge model activate x@000000000000 --trial 10 --config /tmp/owned",
    "edge model activate x@000000000000 --trial -1",
    "edge check --config /etc/shadow",
    "edge --version --help",
    "edge status --json /etc/*",
    "/usr/lib/openssh/sftp-server",
    "internal-sftp",
    "scp -t /tmp",
    "sudo -u mask-edge sh",
)


BY_THEMSELVES = (
    "/proc /sys /dev /run/systemd /run/user /run/udev /run/sudo /run/mask-edge /run/log /run/utmp "
    "/run/motd.dynamic /var/log /var/lib/mask-edge"
)


def state_of(door: Door) -> set[str]:
    """Every file, but for what the daemon and systemd write of themselves: name, mode, owner, time, size."""
    prunes = " ".join(f"-path {path} -prune -o" for path in BY_THEMSELVES.split())
    found = door.run("sh", "-c", f"find /dev/shm / {prunes} ! -type d -printf '%p %m %u %T@ %s\\n'")
    return {*found.splitlines(), *door.run("find", "/var/lib/mask-edge").splitlines()}


BRINGS = ("install -", "install - --json", "rollback", "activate mask-mnv2@0123456789ab --trial 10 --wait 120 --json")


def test_sudo_lets_them_bring_models(door: Door) -> None:
    for words in BRINGS:
        command = ("/opt/mask-edge/bin/edge", "model", *words.split())
        assert door.run("sudo", "-l", "-U", "mask-edge-deploy", "-u", "mask-edge", *command) == " ".join(command)


def test_deployments_can_change_nothing_else(bench: Bench, door: Door, deploy_key: Path) -> None:
    door.run("sh", "-c", "systemctl stop mask-edge; rm -f /run/mask-edge.*")
    as_deployer = ("-i", str(deploy_key), "-l", "mask-edge-deploy")
    before = state_of(door)
    for attempt in ATTEMPTS:
        done = bench.ssh(door.name, attempt, *as_deployer, stdin="hello")
        assert done.returncode != 0, f"{attempt!r} was let through: {done.stdout}"
        assert "root:" not in done.stdout
    assert bench.ssh(door.name, "", *as_deployer, "-tt", stdin="id\nexit\n").returncode != 0
    copied = ("sftp", "-F", str(bench.ssh_config), "-i", str(deploy_key), f"mask-edge-deploy@{door.name}")
    assert subprocess.run(
        copied, input="put /etc/hostname /tmp/owned\n", text=True, capture_output=True, check=False
    ).returncode
    assert state_of(door) ^ before == set()
    door.run("touch", "/tmp/owned")
    assert state_of(door) != before  # a change would have been seen
    door.run("sh", "-c", "rm /tmp/owned; systemctl start mask-edge")


def test_deployments_get_no_tunnel(bench: Bench, door: Door, deploy_key: Path) -> None:
    port = free_port()
    options = (
        "-i",
        str(deploy_key),
        "-l",
        "mask-edge-deploy",
        "-L",
        f"{port}:127.0.0.1:22",
        "-oExitOnForwardFailure=no",
        "-N",
    )
    argv = ("ssh", "-F", str(bench.ssh_config), "-oBatchMode=yes", *options, door.name)
    tunnel = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    heard = b""
    try:
        deadline = time.monotonic() + 20
        while not heard and time.monotonic() < deadline and tunnel.poll() is None:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5) as line:
                heard = line.recv(20) or b"closed"
    finally:
        tunnel.terminate()
        _, said = tunnel.communicate(timeout=10)
    assert (heard, "administratively prohibited" in said) == (b"closed", True), said


def test_what_the_user_runs_belongs_to_root_and_sudo_finds_no_fault(door: Door) -> None:
    home = "/var/lib/mask-edge-deploy"
    owners = door.run(
        "stat", "-c", "%U %a", home, f"{home}/.ssh", f"{home}/.ssh/authorized_keys", "/etc/sudoers.d/mask-edge"
    )
    assert owners.splitlines() == ["root 755", "root 755", "root 644", "root 440"]
    assert "/etc/sudoers.d/mask-edge: parsed OK" in door.run("visudo", "-c")
    assert "*" not in [line for line in door.run("cat", "/etc/sudoers.d/mask-edge").splitlines() if "edge ^" in line]
    assert door.run("find", "/", "-xdev", "-user", "mask-edge-deploy") == ""


# --- two doors of an inventory, by sudo, from a mirror, with TLS and a password ---


@pytest.fixture(scope="module")
def inventory(bench: Bench, door: Door, second: Door, broker: Broker, authority: Path) -> Path:
    (bench.folder / "password").write_text(f"{LOGIN[1]}\n")
    file = bench.folder / "doors.yaml"
    file.write_text(f"""
doors:
  vars:
    mask_edge_camera: {CLIP}
  hosts:
    front-door:
      mask_edge_broker: mqtt://{door.gateway}:{broker.plain}
    back-door:
      ansible_host: {second.address}
      ansible_user: pi
      mask_edge_broker: mqtts://{LOGIN[0]}@{second.gateway}:{broker.secure}
      mask_edge_ca_file: {authority}/ca.crt
      mask_edge_password_file: password
""")
    return file


def test_a_user_whose_sudo_wants_a_password_is_told_so(bench: Bench, second: Door, inventory: Path) -> None:
    said = install(bench, "back-door", "--inventory", str(inventory), "--dry-run")
    assert said.code == 77
    assert "sudo wants a password from pi on back-door: give --ask-become-pass" in said.out
    wrong = install(bench, "back-door", "--inventory", str(inventory), "--dry-run", "-K", stdin="falsch\n")
    assert wrong.code == 77
    assert "sudo refuses pi on back-door" in wrong.out


def test_an_inventory_installs_doors_side_by_side(bench: Bench, second: Door, inventory: Path) -> None:
    """The second gets Debian's packages from a mirror, becomes root by sudo, and speaks TLS with a login."""
    port = free_port()
    (second.root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] http://{second.gateway}:{port}/ ./\n")
    with serving(bench.debs, second.gateway, port):
        said = install(bench, "doors", "--inventory", str(inventory), "-K", "--json", stdin=f"{SUDO_PASSWORD}\n")
    assert said.code == 0, said.err + said.out
    found = said.doors()
    assert (found["front-door"]["changed"], found["back-door"]["changed"] > 8) == (0, True), said.err
    assert found["back-door"]["status"]["last_ack_s"] is not None
    assert [one for one in found["back-door"]["findings"] if one["level"] == "error"] == []
    assert second.run("stat", "-c", "%U:%G %a", "/etc/credstore/mask-edge.mqtt_password") == "root:root 600"
    again = install(bench, "doors", "--inventory", str(inventory), "-K", "--json", stdin=f"{SUDO_PASSWORD}\n")
    assert [one["changed"] for one in again.doors().values()] == [0, 0], again.err
    for text in (said.out, said.err, second.run("journalctl", "--no-pager"), again.err):
        assert LOGIN[1] not in text
        assert SUDO_PASSWORD not in text


def test_a_password_over_a_plain_line_is_refused_before_anything_is_done(bench: Bench, second: Door) -> None:
    (file := bench.folder / "own-password").write_text(f"{LOGIN[1]}\n")
    words = ("--camera", CLIP, "--broker", f"mqtt://{LOGIN[0]}@{second.gateway}", "--password-file", str(file))
    said = install(bench, f"pi@{second.name}", *words, "-K", "--replace-config", stdin=f"{SUDO_PASSWORD}\n")
    assert said.code == 78
    assert "would cross the network in the clear" in said.err


# --- the software changes ---


def test_an_upgrade_takes_the_place_of_what_was_there(
    bench: Bench, door: Door, words: tuple[str, ...], subscriber: Subscriber, tmp_path: Path
) -> None:
    before = door.run("readlink", "/opt/mask-edge")
    held = len(events_of(subscriber, "front-door"))
    said = install(bench, *words, "--json", tree=another_version(tmp_path, "0.1.1"))
    assert said.code == 0, said.err
    assert door.run("edge", "--version") == "edge 0.1.1"
    assert door.run("readlink", "/opt/mask-edge.d/previous") == Path(before).name
    subscriber_sees(subscriber, "front-door", held + 2)
    seqs = [int(str(event["seq"])) for event in events_of(subscriber, "front-door")]
    assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))


def test_an_upgrade_that_does_not_come_up_leaves_what_was_there_at_work(
    bench: Bench, door: Door, words: tuple[str, ...], subscriber: Subscriber, tmp_path: Path
) -> None:
    before = door.run("readlink", "/opt/mask-edge")
    said = install(bench, *words, tree=another_version(tmp_path, "0.1.2", breaks=True))
    assert said.code == 69
    assert f"the new software did not come up; back at {before}, active" in said.out
    assert "broken on purpose" in said.err
    assert door.run("readlink", "/opt/mask-edge") == before
    assert door.machine.is_active()
    subscriber_sees(subscriber, "front-door", len(events_of(subscriber, "front-door")) + 2)


def test_a_line_cut_in_the_middle_of_an_install_is_taken_up_again(
    bench: Bench, second: Door, inventory: Path, tmp_path: Path
) -> None:
    tree = another_version(tmp_path, "0.1.3")
    argv = (str(tree / "deploy/install"), "-F", str(bench.ssh_config), "back-door", "--inventory", str(inventory), "-K")
    running = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdin
    running.stdin.write(f"{SUDO_PASSWORD}\n")
    running.stdin.flush()
    second.machine.seconds_until(
        lambda: "0.1.3" in second.run("ls", "/opt/mask-edge.d", check=False), "the new environment begins", 120
    )
    second.pull_cable()
    _, said = running.communicate(timeout=120)
    second.pull_cable(is_out=False)
    assert running.returncode == 69, said
    assert second.machine.is_active()
    again = install(bench, "back-door", "--inventory", str(inventory), "-K", stdin=f"{SUDO_PASSWORD}\n", tree=tree)
    assert again.code == 0, again.err
    assert second.run("edge", "--version") == "edge 0.1.3"


# --- what ssh refuses ---


def test_a_door_that_shows_another_host_key_is_not_spoken_to(bench: Bench, door: Door, tmp_path: Path) -> None:
    key = tmp_path / "other"
    make_key(key)
    known = tmp_path / "known_hosts"
    known.write_text(f"{door.address} {' '.join(key.with_suffix('.pub').read_text().split()[:2])}\n")
    config = tmp_path / "ssh_config"
    config.write_text(bench.ssh_config.read_text().replace(str(bench.folder / "known_hosts"), str(known)))
    said = install(bench, door.name, "-F", str(config), "--remove")
    assert said.code == 77
    assert "does not show the host key that known_hosts has" in said.out
    assert door.machine.is_active()


def test_a_door_that_is_away_does_not_stop_the_others(bench: Bench, door: Door, words: tuple[str, ...]) -> None:
    away = bench.door("away", is_booted=False)
    said = install(bench, *words, away.name, "--json")
    found = said.doors()
    assert (found["away"]["exit_code"], found[door.name]["exit_code"]) == (69, 0), said.err
    assert found[door.name]["status"]["status"] == "ok"
    assert "cannot be reached" in found["away"]["error"]
    assert said.code == 69


# --- away with it ---


def test_remove_leaves_configuration_and_events(bench: Bench, door: Door) -> None:
    said = install(bench, door.name, "--remove")
    assert said.code == 0, said.err
    assert "kept: /etc/mask-edge" in said.out
    assert "mask-edge" not in door.run("ls", "/opt", "/usr/local/bin", "/etc/systemd/system", "/etc/sudoers.d")
    assert door.run("ls", "/var/lib/mask-edge/outbox.sqlite", "/etc/mask-edge/config.toml")
    assert "mask-edge-deploy" not in door.run("getent", "passwd")
    assert "0 changed" in install(bench, door.name, "--remove").out


def test_purge_leaves_nothing_but_debian_s_packages(bench: Bench, door: Door) -> None:
    said = install(bench, door.name, "--remove", "--purge")
    assert said.code == 0, said.err
    assert door.run("find", "/", "-xdev", "-name", "*mask-edge*", "-not", "-path", "/proc/*") == ""
    assert "mask-edge" not in door.run("getent", "passwd") + door.run("getent", "group")
