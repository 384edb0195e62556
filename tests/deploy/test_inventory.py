"""Ansible's inventories, as far as they are read; what is not understood is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.doors.inventory import Door, doors
from deploy.doors.settings import NAMES
from edge.errors import DataError, EdgeError, InputMissing, UsageError

SITE = """
all:
  vars:
    mask_edge_broker: mqtt://10.0.0.1
entrances:
  vars:
    mask_edge_camera: picamera2:0
    ansible_user: pi
  hosts:
    door-[08:10]:
    main:
      ansible_host: 10.0.0.8
      ansible_port: 2222
      ansible_user: root
      mask_edge_camera: v4l2:/dev/video0
  children:
    south:
      vars:
        mask_edge_broker: mqtts://10.0.0.2
      hosts:
        door-s:
gardens:
  hosts:
    shed:
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "doors.yaml"
    file.write_text(SITE)
    return file


def named(file: Path, *names: str) -> list[str]:
    return [door.target.name for door in doors(names, file, NAMES)]


def one(file: Path, name: str) -> Door:
    (found,) = doors([name], file, NAMES)
    return found


def test_a_name_is_a_host_or_all_hosts_of_a_group_and_of_those_within(site: Path) -> None:
    assert named(site, "shed") == ["shed"]
    assert named(site, "entrances") == ["door-08", "door-09", "door-10", "main", "door-s"]
    assert len(named(site, "all")) == 6


def test_a_door_that_is_meant_twice_is_visited_once(site: Path) -> None:
    assert named(site, "main", "entrances").count("main") == 1


def test_what_is_nearer_to_the_host_holds(site: Path) -> None:
    assert one(site, "main").own == {"broker": "mqtt://10.0.0.1", "camera": "v4l2:/dev/video0"}
    assert one(site, "door-s").own == {"broker": "mqtts://10.0.0.2", "camera": "picamera2:0"}


def test_the_connection_is_ansible_s(site: Path) -> None:
    target = one(site, "main").target
    assert (target.address, target.user, target.port) == ("10.0.0.8", "root", 2222)
    assert one(site, "door-09").target.user == "pi"


def test_without_an_inventory_a_name_is_an_address() -> None:
    (door,) = doors(["pi@10.0.0.9"], None, NAMES)
    assert (door.target.address, door.own) == ("pi@10.0.0.9", {})


@pytest.mark.parametrize("name", ["-oProxyCommand=touch owned", "a b", "door;id", ""])
def test_a_name_is_never_an_option_of_ssh(name: str) -> None:
    with pytest.raises(UsageError, match="is no host"):
        doors([name], None, NAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("d:\n  hosts:\n    a:\n      ansible_ssh_common_args: -oStrictHostKeyChecking=no\n", "say it in ssh's own"),
        ("d:\n  hosts:\n    a:\n      mask_edge_camra: x\n", "did you mean mask_edge_camera"),
        ("d:\n  hosts:\n    a:\n      mask_edge_broker: '{{ broker }}'\n", "is a template"),
        ("d:\n  hosts:\n    a:\n      ansible_port: ssh\n", "must be a number"),
        ("d:\n  hosts: [a]\n", "d.hosts must be names with a colon"),
        ("d:\n  host:\n    a:\n", "d.host means nothing"),
        ("d:\n  children:\n    d:\n", "holds itself"),
        ("d:\n  hosts:\n    a:\n      x: !vault secret\n", "is not plain YAML"),
        ("a: [", "is not plain YAML"),
        ("d:\n  hosts:\n    door-[a:c]:\n", "only ranges of numbers are read"),
        ("d:\n  hosts:\n    door-[1:9:2]:\n", "only ranges of numbers are read"),
        ("d:\n  hosts:\n    a:\n      ansible_connection: local\n", "ansible_connection of a must be ssh"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "doors.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=said):
        doors(["d"], file, NAMES)


def test_a_name_that_is_not_there_brings_the_nearest(site: Path) -> None:
    with pytest.raises(UsageError, match="did you mean entrances"):
        doors(["entrance"], site, NAMES)
    with pytest.raises(InputMissing):
        doors(["main"], site.with_name("none.yaml"), NAMES)


def test_every_refusal_is_one_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "doors.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EdgeError):
        doors(["d"], file, NAMES)
