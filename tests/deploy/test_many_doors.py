"""``deploy/push`` to twenty doors: twenty sshds, each with a forced command that answers as ``edge model`` does.

The waits are scripted: two cores cannot run twenty self-tests at once.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.doors.parcel import parcel
from edge.places import PACKAGE
from tests.deploy.bench import base, layered, make_key, missing
from tests.edge.bundles import make_bundle
from tests.mosquitto import free_port

ROOT = PACKAGE.parent
DOORS, PARALLEL, WAIT_S = 20, 10, 1.0
WHY_NOT = missing()
pytestmark = [pytest.mark.deploy, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-deploy {WHY_NOT}")]
# Logs what it was asked; a door whose folder has a file "broken" refuses the bundle.
ANSWERS = """#!/bin/sh
cd "$1" || exit 1
echo "$SSH_ORIGINAL_COMMAND" >>asked
case "$SSH_ORIGINAL_COMMAND" in
"edge model list --json")
    active=$(cat active 2>/dev/null)
    echo '{"active": "'"$active"'", "trial": null, "models": ['
    [ -z "$active" ] || echo '{"model": "'"$active"'", "state": "active", "is_usable": true, "signature": "unsigned"}'
    echo ']}';;
"edge model install -")
    cat >/dev/null
    [ ! -e broken ] || { echo "edge: bundle - failed its self-test: do not use it here" >&2; exit 65; }
    cat tag;;
"edge model activate "*)
    sleep WAIT
    cp tag active
    echo '{"state": "at_work", "trial": null}';;
esac
"""


@dataclass(frozen=True, slots=True)
class Gates:
    folder: Path
    config: Path
    bundle: Path
    tag: str

    def names(self) -> list[str]:
        return [f"gate-{number:02}" for number in range(DOORS)]

    def asked(self, name: str) -> list[str]:
        path = self.folder / name / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def push(self, *words: str) -> tuple[int, dict[str, dict[str, object]], float]:
        argv = [str(ROOT / "deploy/push"), "-F", str(self.config), "--json", "--parallel", str(PARALLEL), *words]
        began_s = time.monotonic()
        done = subprocess.run([*argv, str(self.bundle), *self.names()], capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        doors = {one["door"]: one for one in json.loads(done.stdout)["doors"]}
        return done.returncode, doors, time.monotonic() - began_s


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    key = tmp_path / "key"
    make_key(key)
    bundle = make_bundle(tmp_path / "tiny")
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(layered(tmp_path / "layers", (base(),)))
        made = Gates(root / "gates", tmp_path / "ssh_config", bundle, parcel(bundle).tag)
        made.folder.mkdir()
        (root / "run/sshd").mkdir(exist_ok=True)
        make_key(host_key := made.folder / "host_key")
        shutil.copy(key.with_suffix(".pub"), made.folder / "keys")
        answers = made.folder / "answers"
        answers.write_text(ANSWERS.replace("WAIT", str(WAIT_S)))
        answers.chmod(0o755)
        public, hosts = host_key.with_suffix(".pub").read_text().split()[:2], []
        for name in made.names():
            folder, port = made.folder / name, free_port()
            folder.mkdir()
            (folder / "tag").write_text(f"{made.tag}\n")
            (folder / "sshd_config").write_text(
                f"Port {port}\nListenAddress 127.0.0.1\nHostKey /gates/host_key\n"
                "PidFile none\nStrictModes no\nUsePAM no\n"
                f"AuthorizedKeysFile /gates/keys\nForceCommand /gates/answers /gates/{name}\nPermitRootLogin yes\n"
            )
            argv = ["chroot", str(root), "/usr/sbin/sshd", "-D", "-f", f"/gates/{name}/sshd_config"]
            with (folder / "log").open("wb") as log:
                server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(server.wait)
            stack.callback(server.terminate)
            hosts.append(f"Host {name}\n    Port {port}\n")
            with (tmp_path / "known_hosts").open("a") as known:
                known.write(f"[127.0.0.1]:{port} {' '.join(public)}\n")
        shared = f"    HostName 127.0.0.1\n    User root\n    IdentityFile {key}\n    IdentitiesOnly yes\n"
        checked = f"    StrictHostKeyChecking yes\n    UserKnownHostsFile {tmp_path}/known_hosts\n"
        made.config.write_text(f"{''.join(hosts)}Host *\n{shared}{checked}")
        time.sleep(1)
        yield made


def test_a_broken_canary_is_the_only_one_that_was_asked(gates: Gates) -> None:
    (gates.folder / "gate-07" / "broken").touch()
    code, doors, _ = gates.push("--canary", "gate-07")
    assert (code, doors["gate-07"]["state"]) == (65, "failed")
    assert doors["gate-07"]["why"] == "bundle - failed its self-test: do not use it here"
    assert {doors[name]["state"] for name in gates.names() if name != "gate-07"} == {"not tried"}
    assert [name for name in gates.names() if gates.asked(name)] == ["gate-07"]


def test_a_broken_door_stops_the_wave_after_its_own_and_a_re_run_goes_on(gates: Gates) -> None:
    (gates.folder / "gate-03" / "broken").touch()
    code, doors, _ = gates.push("--wave", "5")
    states = [doors[name]["state"] for name in gates.names()]
    assert (code, states) == (65, ["at work"] * 3 + ["failed"] + ["at work"] * 2 + ["not tried"] * 14)
    (gates.folder / "gate-03" / "broken").unlink()
    code, doors, _ = gates.push("--wave", "5")
    states = [doors[name]["state"] for name in gates.names()]
    assert (code, states) == (0, ["was so"] * 3 + ["at work"] + ["was so"] * 2 + ["at work"] * 14)
    assert gates.asked("gate-01").count("edge model install -") == 1


def test_side_by_side_they_take_much_less_than_one_after_the_other(gates: Gates) -> None:
    code, doors, whole_s = gates.push()
    assert (code, {one["state"] for one in doors.values()}) == (0, {"at work"})
    single_s = [float(str(doors[name]["took_s"])) for name in gates.names()[1:]]
    parallel_s = whole_s - float(str(doors["gate-00"]["took_s"]))
    print(f"\n19 doors side by side: {parallel_s:.1f} s, {parallel_s / sum(single_s):.2f} of {sum(single_s):.1f} s")
    assert parallel_s < 0.4 * sum(single_s)
