"""The unit under a real systemd (Debian 12, in a container), with a real Mosquitto: what a technician leaves behind.

``make test-service``. The tests are one story, told in order on one machine.
"""

from __future__ import annotations

import json
import re
import time

import pytest

from edge.journal import ACTIONS
from tests.service.conftest import Row
from tests.service.machine import UNIT, Books, Listener, Machine
from tests.service.reckon import RESTARTED_S, START_S, WATCHDOG_S, more, reckon, restarted
from tests.service.rootfs import ROOT, missing

WHY_NOT = missing()
pytestmark = [pytest.mark.service, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-service {WHY_NOT}")]

NOTHING = Books(0, 0, 0, True, (), 0)


# --- installed ---


def test_the_unit_is_without_fault_and_hardened(machine: Machine) -> None:
    assert machine.run("systemd-analyze", "verify", UNIT) == ""
    said = machine.run("systemd-analyze", "security", UNIT, "--no-pager", check=False)
    level = float(said.rpartition("exposure level for mask-edge.service: ")[2].split()[0])
    assert level <= 1.8


def test_udev_reads_the_rule_for_the_coral_without_a_word(machine: Machine) -> None:
    said = machine.run("sh", "-c", "udevadm test /sys/class/net/lo 2>&1")
    about = [line for line in said.splitlines() if "60-mask-edge-coral.rules" in line]
    assert about == ["Reading rules file: /etc/udev/rules.d/60-mask-edge-coral.rules"]


def test_only_its_own_user_reads_the_config_and_nobody_of_it_writes(machine: Machine) -> None:
    owner = machine.run("stat", "-c", "%U:%G %a", "/etc/mask-edge", "/etc/mask-edge/config.toml")
    assert owner.splitlines() == ["root:mask-edge 750", "root:mask-edge 640"]


def test_the_door_is_checked_before_it_is_started(machine: Machine, listener: Listener) -> None:
    assert machine.run("edge", "check").endswith(("all is well", "\n1 warning"))  # nobody may set its clock
    assert listener.events() == []


# --- started ---


def test_it_starts_without_a_password_and_tells_what_it_sees(
    machine: Machine, listener: Listener, rows: list[Row]
) -> None:
    started_s = time.monotonic()
    machine.run("systemctl", "enable", "--now", UNIT)  # returns at READY
    machine.seconds_until(machine.is_active, "active", START_S)
    active_s = time.monotonic() - started_s
    more(machine, listener, than=0)
    reckon(rows, "start", NOTHING, listener, back_s=active_s)
    assert listener.payloads("/availability")[-1] == "online"


def test_it_runs_as_nobody_in_particular(machine: Machine) -> None:
    pid = machine.show("MainPID")
    status = machine.run("cat", f"/proc/{pid}/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["Uid"].split()[0]) == int(machine.run("id", "-u", "mask-edge")) != 0
    assert (facts["CapEff"], facts["NoNewPrivs"], facts["Seccomp"]) == ("0000000000000000", "1", "2")
    assert machine.run("getent", "group", "video").split(":")[2] in facts["Groups"].split()
    assert "Max core file size        0                    0" in machine.run("cat", f"/proc/{pid}/limits")


def test_group_video_counts_for_a_camera_though_its_user_namespace_does_not_know_it(machine: Machine) -> None:
    machine.run("sh", "-c", "echo picture >/srv/camera; chgrp video /srv/camera; chmod 040 /srv/camera")
    as_the_unit = ("-pUser=mask-edge", "-pSupplementaryGroups=video", "-pPrivateUsers=yes")
    assert machine.run("systemd-run", "--quiet", "--pipe", *as_the_unit, "cat", "/srv/camera") == "picture"


def test_its_state_is_its_own(machine: Machine) -> None:
    owner = machine.run("stat", "-c", "%U %a", "/var/lib/mask-edge", "/var/lib/mask-edge/outbox.sqlite")
    assert owner.splitlines() == ["mask-edge 750", "mask-edge 600"]
    assert machine.run("stat", "-c", "%U:%G %a", "/run/mask-edge") == "mask-edge:mask-edge 750"


def test_every_check_of_privacy_md_holds(machine: Machine, listener: Listener) -> None:
    more(machine, listener, than=0)
    block = re.search(r"```sh\n(.*?)```", (ROOT / "docs" / "privacy.md").read_text(), re.DOTALL)
    assert block
    checks = [line for line in block[1].splitlines() if not line.startswith("#")]
    assert len(checks) > 8
    script = "".join(f"{line}\n[ $? = 0 ] || {{ echo 'check {n} failed'; exit 1; }}\n" for n, line in enumerate(checks))
    said = machine.run("bash", "-c", script)
    assert ":1883" in said  # whom it talks to
    assert '"type":"decided"' in said or '"type":"left"' in said


def test_check_sees_that_it_runs(machine: Machine) -> None:
    said = machine.run("edge", "check")
    assert f"a daemon is running (pid {machine.show('MainPID')})" in said


def test_a_technician_of_its_group_is_told_how_it_is_and_anybody_else_why_not(machine: Machine) -> None:
    as_member = ("runuser", "-u", "nobody", "-G", "mask-edge", "--", "edge", "status")
    assert machine.run(*as_member).startswith("status ")
    told = machine.run("sh", "-c", "runuser -u nobody -- edge status; echo $?", check=False)
    assert told.endswith("77")


def test_its_lines_are_entries_with_fields_through_the_sandbox(machine: Machine) -> None:
    said = machine.run("journalctl", "-u", UNIT, "-o", "json", "LOGGER=edge.assemble")
    entry = json.loads(said.splitlines()[-1])
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "mask-edge")
    assert (entry["_TRANSPORT"], entry["_SYSTEMD_UNIT"]) == ("journal", UNIT)
    assert entry["CODE_FILE"].endswith("edge/assemble.py")


def test_check_can_be_run_as_the_unit(machine: Machine) -> None:
    """The lines of docs/operate.md."""
    as_the_unit = ("-pUser=mask-edge", "-pSupplementaryGroups=video", "-pStateDirectory=mask-edge")
    credential = "-pLoadCredential=mqtt_password:mask-edge.mqtt_password"
    said = machine.run("systemd-run", "--pipe", "--quiet", *as_the_unit, credential, "edge", "check")
    assert said.endswith(("all is well", "\n1 warning"))  # nobody may set its clock


def test_a_password_reaches_the_unit_alone_and_an_absent_one_does_not_keep_it_from_starting(machine: Machine) -> None:
    """It started without. With an absolute path in LoadCredential= it would not have."""
    store, given = "/etc/credstore/mask-edge.mqtt_password", f"/run/credentials/{UNIT}/mqtt_password"
    assert machine.run("sh", "-c", f"ls {given} 2>&1 | grep -c 'No such file'") == "1"
    with pytest.raises(AssertionError):
        machine.run("systemd-run", "--quiet", "--wait", "-pLoadCredential=x:/etc/mask-edge/none", "true")
    machine.run("sh", "-c", f"install -d -m 700 /etc/credstore && echo geheim | install -m 600 /dev/stdin {store}")
    machine.run("systemctl", "restart", UNIT)
    assert machine.run("cat", given) == "geheim"
    as_the_unit = ("setpriv", "--reuid=mask-edge", "--regid=mask-edge", "--clear-groups")
    assert machine.run(*as_the_unit, "cat", given) == "geheim"
    with pytest.raises(AssertionError):
        machine.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cat", given)
    assert "geheim" not in machine.run("cat", f"/proc/{machine.pid()}/environ") + machine.journal()
    machine.run("rm", store)
    machine.run("systemctl", "restart", UNIT)


# --- faults ---


def test_kill_9(machine: Machine, listener: Listener, rows: list[Row], before: Books) -> None:
    pid = machine.pid()
    machine.signal("KILL")
    active_s = restarted(machine, pid, RESTARTED_S)
    more(machine, listener, than=before.held)
    reckon(rows, "kill -9", before, listener, back_s=active_s)


def test_kill_9_again_and_again_never_ends_in_a_start_limit(
    machine: Machine, listener: Listener, rows: list[Row], before: Books
) -> None:
    """systemd gives up after five starts in ten seconds, if it is let."""
    started_s = time.monotonic()
    for _ in range(7):
        machine.run("systemctl", "restart", UNIT)
        machine.signal("KILL")
        machine.run("systemctl", "start", UNIT)
    active_s = machine.seconds_until(machine.is_active, "active", START_S)
    more(machine, listener, than=before.held)
    reckon(rows, f"killed 7 times in {time.monotonic() - started_s:.0f} s", before, listener, back_s=active_s)
    assert "start-limit" not in machine.journal()
    assert "repeated too quickly" not in machine.journal()


def test_a_stopped_process_is_ended_by_the_watchdog(
    machine: Machine, listener: Listener, rows: list[Row], before: Books
) -> None:
    pid = machine.pid()
    machine.signal("STOP")
    active_s = restarted(machine, pid, WATCHDOG_S)
    more(machine, listener, than=before.held)
    reckon(rows, "SIGSTOP", before, listener, back_s=active_s)
    assert "Watchdog timeout" in machine.journal()
    assert machine.run("sh", "-c", "find / /var/lib/systemd/coredump -maxdepth 1 -type f -name 'core*'") == ""


def test_the_broker_goes_away_and_comes_back(
    machine: Machine, listener: Listener, rows: list[Row], before: Books
) -> None:
    pid = machine.pid()
    machine.stop_broker()
    time.sleep(25)  # more than a loop of the clip
    machine.start_broker()
    more(machine, listener, than=before.held, by=8)
    reckon(rows, "broker away for 25 s", before, listener)
    assert machine.pid() == pid
    assert listener.payloads("/availability")[-1] == "online"
    asked = machine.run("journalctl", "-u", UNIT, "-o", "cat", "MASK_EDGE_ACTION=broker_away")
    assert "mqtt: mqtt://127.0.0.1:1883: " in asked
    assert asked == machine.run("journalctl", "-o", "cat", f"MESSAGE_ID={ACTIONS['broker_away']}")


def test_between_a_kill_and_the_restart_edge_status_says_that_none_runs(machine: Machine) -> None:
    pid = machine.pid()
    machine.signal("KILL")
    assert machine.run("sh", "-c", "edge status 2>/dev/null; echo $?") == "69"
    restarted(machine, pid, RESTARTED_S)
    assert machine.run("edge", "status").startswith("status ")


def test_killed_while_the_broker_is_away(machine: Machine, listener: Listener, rows: list[Row], before: Books) -> None:
    machine.stop_broker()
    time.sleep(15)
    pid = machine.pid()
    machine.signal("KILL")
    active_s = restarted(machine, pid, RESTARTED_S)
    machine.start_broker()
    more(machine, listener, than=before.held, by=5)
    reckon(rows, "kill -9 while the broker is away", before, listener, back_s=active_s)
