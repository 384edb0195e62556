"""Doors as Ansible writes them down: a YAML inventory of groups, hosts and variables, so that a site keeps one list.

Read: ``hosts``, ``vars``, ``children``; ranges in names (``door-[01:20]``); a variable of a host before one of its
group, of a child group before one of its parent, and among groups of one depth the later by alphabet. What would change
the connection and is not understood is refused, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from deploy.doors.ssh import Target
from edge.errors import DataError, InputMissing, Unavailable, UsageError

RANGE: Final = re.compile(r"(.*?)\[(\d+):(\d+)\](.*)")
CONNECTION: Final = ("ansible_host", "ansible_user", "ansible_port", "ansible_ssh_private_key_file")
# Ansible's own business, and true of every door anyway.
PASSED_OVER: Final = ("ansible_python_interpreter", "ansible_become", "ansible_become_method", "ansible_connection")
OURS: Final = "mask_edge_"


@dataclass(frozen=True, slots=True)
class Door:
    """One host. own: the variables that begin with ``mask_edge_``, without that; folder: where their paths begin."""

    target: Target
    own: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(slots=True)
class Group:
    """hosts: name to the host's variables. children: names of groups."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)


def doors(names: Sequence[str], inventory: Path | None, known: Iterable[str]) -> list[Door]:
    """The doors that are meant, each once, in the order named. known: what may follow ``mask_edge_``.

    Without an inventory a name is an address for ssh. Raises UsageError, InputMissing, DataError.
    """
    if inventory is None:
        return [Door(Target(name, name)) for name in dict.fromkeys(names)]
    groups = read(inventory)
    meant: dict[str, None] = {}
    for name in names:
        meant.update(dict.fromkeys(members(name, groups, inventory)))
    return [door(name, variables_of(name, groups), inventory, tuple(known)) for name in meant]


def read(path: Path) -> dict[str, Group]:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise Unavailable("PyYAML is not here, and an inventory needs it: make setup, or pip install pyyaml") from error
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputMissing(f"inventory {path} is not there: give another with --inventory") from error
    except OSError as error:
        raise InputMissing(f"inventory {path} cannot be read ({error.strerror}): give another") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # !vault is such a thing, too
        said = " ".join(str(error).split())
        raise DataError(f"inventory {path} is not plain YAML ({said}): correct it there") from error
    groups: dict[str, Group] = {"all": Group()}
    add(raw, groups, path, "all")
    for name in set(groups) - {"all"} - {child for group in groups.values() for child in group.children}:
        groups["all"].children.add(name)
    return groups


def add(raw: Any, groups: dict[str, Group], path: Path, within: str) -> None:
    """Groups as they stand below one another; one may be written in several places."""
    for name, written in mapping(raw, path, within).items():
        group = groups.setdefault(str(name), Group())
        body = mapping(written, path, str(name))
        for key in set(body) - {"hosts", "vars", "children"}:
            raise DataError(f"inventory {path}: {name}.{key} means nothing: a group has hosts, vars and children")
        for pattern, variables in mapping(body.get("hosts"), path, f"{name}.hosts").items():
            for host in spread(str(pattern)):
                group.hosts.setdefault(host, {}).update(mapping(variables, path, host))
        group.variables |= mapping(body.get("vars"), path, f"{name}.vars")
        children = mapping(body.get("children"), path, f"{name}.children")
        group.children |= {str(child) for child in children}
        add(children, groups, path, str(name))


def mapping(raw: Any, path: Path, where: str) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise DataError(f"inventory {path}: {where} must be names with a colon, one a line, is {type(raw).__name__}")
    return raw


def spread(pattern: str) -> Iterator[str]:
    """``door-[08:10]`` is door-08, door-09, door-10."""
    found = RANGE.fullmatch(pattern)
    if not found:
        if "[" in pattern:
            raise DataError(f"hosts {pattern} of the inventory: only ranges of numbers are read, as in door-[01:20]")
        yield pattern
        return
    before, first, last, after = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from spread(f"{before}{number:0{len(first)}}{after}")


def members(name: str, groups: dict[str, Group], path: Path) -> list[str]:
    """The hosts of a group and of all below it, or the host itself."""
    hosts = [host for group in groups.values() for host in group.hosts]
    if name in groups:
        below = [name, *below_of(name, groups)]
        return list(dict.fromkeys(host for group in below for host in groups[group].hosts))
    if name in hosts:
        return [name]
    near = get_close_matches(name, [*groups, *hosts], 1)
    raise UsageError(f"inventory {path} has no {name!r}: {f'did you mean {near[0]}?' if near else 'add it there'}")


def below_of(name: str, groups: dict[str, Group], above: tuple[str, ...] = ()) -> list[str]:
    if name in above:
        raise DataError(f"group {name} of the inventory holds itself: take it out of its children")
    found: list[str] = []
    for child in sorted(groups[name].children):
        found += [child, *below_of(child, groups, (*above, name))]
    return list(dict.fromkeys(found))


def variables_of(host: str, groups: dict[str, Group]) -> dict[str, Any]:
    """What holds for a host: outer groups first, then inner ones, then its own."""
    around = [name for name in groups if host in members(name, groups, Path()) or name == "all"]
    around.sort(key=lambda name: (depth(name, groups), name))
    merged: dict[str, Any] = {}
    for name in around:
        merged |= groups[name].variables
    for name in around:
        merged |= groups[name].hosts.get(host, {})
    return merged


def depth(name: str, groups: dict[str, Group]) -> int:
    """The longest way from ``all``."""
    parents = [parent for parent, group in groups.items() if name in group.children]
    return 1 + max((depth(parent, groups) for parent in parents), default=-1)


def door(name: str, variables: dict[str, Any], path: Path, known: tuple[str, ...]) -> Door:
    for key, value in variables.items():
        if key.startswith((OURS, "ansible_")) and "{{" in str(value):
            raise DataError(f"inventory {path}: {key} of {name} is a template: write the value itself, or use Ansible")
        if key.startswith("ansible_") and key not in (*CONNECTION, *PASSED_OVER):
            raise DataError(f"inventory {path}: {key} of {name} is not understood: say it in ssh's own configuration")
    if variables.get("ansible_connection", "ssh") not in ("ssh", "smart"):
        raise DataError(f"inventory {path}: ansible_connection of {name} must be ssh: a door is reached by it alone")
    connection = {key.removeprefix("ansible_"): variables[key] for key in CONNECTION if key in variables}
    port = connection.get("port")
    if port is not None and not str(port).isdecimal():
        raise DataError(f"inventory {path}: ansible_port of {name} must be a number, is {port!r}: correct it there")
    key_file = connection.get("ssh_private_key_file")
    target = Target(
        name=name,
        address=str(connection.get("host", name)),
        user=str(connection["user"]) if "user" in connection else None,
        port=int(port) if port is not None else None,
        key_file=Path(str(key_file)).expanduser() if key_file else None,
    )
    own = {key.removeprefix(OURS): str(value) for key, value in variables.items() if key.startswith(OURS)}
    for key in set(own) - set(known):
        near = get_close_matches(key, known, 1)
        hint = f"did you mean {OURS}{near[0]}?" if near else f"known are {', '.join(OURS + k for k in known)}"
        raise DataError(f"inventory {path}: {OURS}{key} of {name} is not known: {hint}")
    return Door(target, own, path.parent)
