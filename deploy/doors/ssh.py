"""One connection to one door, by the user's own ``ssh``: configuration, agent and known_hosts are OpenSSH's business.

Host keys are checked as OpenSSH is told to check them; nothing here loosens that. A first command opens a master, the
others go through it, and everything that is sent goes through a command's stdin: no path of a file, no secret and no
content is an argument of a second program.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.errors import EdgeError, Refused, Unavailable, UsageError

SSH_FAILED: Final = 255
CONNECT_S: Final = 10
ALIVE_S: Final = 5  # three of them without an answer, and a cut line is taken for cut
RUN_S: Final = 1800.0  # a slow card unpacking 300 MB of wheels
ADDRESS: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a door is reached. name: for people. address: what ``ssh`` takes, ``[user@]host`` or an alias of its
    configuration; the rest, where given, comes before that configuration, as in Ansible."""

    name: str
    address: str
    user: str | None = None
    port: int | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        for word in (self.address, self.user or "x"):
            if not ADDRESS.fullmatch(word):  # a leading dash would be an option of ssh
                raise UsageError(
                    f"{word!r} is no host: give [user@]host, an alias of ssh's, or a name of the inventory"
                )

    def as_typed(self) -> str:
        """The command with which people reach it."""
        options = (("-l", self.user), ("-p", self.port), ("-i", self.key_file))
        return shlex.join(["ssh", *(str(word) for pair in options if pair[1] for word in pair), self.address])


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. code: its exit status; out, err: what it wrote, undecodable bytes replaced."""

    code: int
    out: str
    err: str


class ConnectionLost(Unavailable):
    """The line broke, or never came up."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """How every connection of a run is made. config: instead of the user's; control: private folder for the masters."""

    control: Path
    config: Path | None = None
    is_batch: bool = True

    def command(self, target: Target, *options: str) -> list[str]:
        own = {
            "ControlMaster": "auto",
            "ControlPath": f"{self.control}/%C",
            "ControlPersist": "60",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": str(ALIVE_S),
            "ServerAliveCountMax": "3",
            "BatchMode": "yes" if self.is_batch else "no",
        }
        words = ["ssh", *(f"-o{key}={value}" for key, value in own.items())]
        words += ["-F", str(self.config)] if self.config else []
        words += ["-l", target.user] if target.user else []
        words += ["-p", str(target.port)] if target.port else []
        words += ["-i", str(target.key_file)] if target.key_file else []
        return [*words, *options, "--", target.address]


@contextlib.contextmanager
def ssh_for(doors: int, config: Path | None = None) -> Iterator[Ssh]:
    """The masters live as long as this. A terminal and one door: OpenSSH may ask for a passphrase or a new host key."""
    if not shutil.which("ssh"):
        raise Unavailable("ssh is not on this machine: apt install openssh-client")
    is_batch = doors > 1 or not sys.stdin.isatty()
    with tempfile.TemporaryDirectory(prefix="mask-edge-") as folder:  # 0700, and short: a socket's path may have 108
        yield Ssh(Path(folder), config, is_batch)


@dataclass(frozen=True, slots=True)
class Connection:
    """Commands on a door, as its root. become: how, in front of ``sh -c``; password: sudo's, sent on stdin."""

    ssh: Ssh
    target: Target
    become: str = ""
    password: bytes = field(default=b"", repr=False)

    def run(self, script: str, stdin: bytes | Path = b"", timeout_s: float = RUN_S) -> Done:
        """A shell script, to its end. Raises ConnectionLost, Refused. stdin: bytes, or a file that is sent."""
        return self._run(f"exec env LC_ALL=C {self.become}sh -c {shlex.quote(script)}", stdin, timeout_s, self.password)

    def plain(self, script: str) -> Done:
        """As the user that logs in."""
        return self._run(f"exec env LC_ALL=C sh -c {shlex.quote(script)}", b"", 60.0, b"")

    def edge(self, words: str, stdin: bytes = b"", timeout_s: float = RUN_S) -> Done:
        """A command of the door's own ``edge``, as root or as the user who may bring models, whose key allows just that
        (a forced command: no shell reads it). words: without blanks or quotes inside of one."""
        return self._run(f"edge {words}", stdin, timeout_s, b"")

    def _run(self, command: str, stdin: bytes | Path, timeout_s: float, first_line: bytes) -> Done:
        argv = [*self.ssh.command(self.target), command]
        sent: bytes | None = None
        with contextlib.ExitStack() as stack:
            if isinstance(stdin, Path) and not first_line:
                source = stack.enter_context(stdin.open("rb"))
            else:  # by a pipe: secrets are written to no disk
                source, sent = None, first_line + (stdin.read_bytes() if isinstance(stdin, Path) else stdin)
            try:
                done = subprocess.run(
                    argv, stdin=source, input=sent, capture_output=True, timeout=timeout_s, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise ConnectionLost(
                    f"{self.target.name} did not finish a command within {timeout_s:.0f} s",
                    "look at the machine, then run this again",
                ) from error
        out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        if done.returncode == SSH_FAILED:
            raise what_ssh_said(self.target, err)
        return Done(done.returncode, out, err)

    def send(self, files: Iterable[Path], folder: str) -> int:
        """Files into a folder of the door, those that are not there yet, whole or not at all; how many were sent."""
        wanted = {file.name: file for file in files}
        listing = self.run(f"mkdir -p {folder} && cd {folder} && sha256sum -- * 2>/dev/null; true")
        lines = (line.split(maxsplit=1) for line in listing.out.splitlines())
        there = {name: digest for digest, name in lines}
        missing = [file for name, file in sorted(wanted.items()) if there.get(name) != sha256(file)]
        for file in missing:
            to = shlex.quote(f"{folder}/{file.name}")
            done = self.run(f"cat >{to}.part && mv {to}.part {to}", file)
            if done.code:
                raise Unavailable(f"{file.name} could not be written to {folder}: {last_line(done)}")
        return len(missing)

    def close(self) -> None:
        """End the master; without it, it would stay for a minute."""
        subprocess.run(self.ssh.command(self.target, "-O", "exit"), capture_output=True, check=False)


def as_root(connection: Connection, sudo_password: bytes | None) -> Connection:
    """The same door, with a way to be root: root's login, sudo without a password, or with the one given."""
    asked = connection.plain("id -u; id -un; sudo -n true 2>/dev/null && echo sudo; command -v sudo; true")
    who = asked.out.split()
    if asked.code or len(who) < 2 or not who[0].isdecimal():
        raise Refused(
            f"{connection.target.name} gives this login no shell ({last_line(asked)}): log in as another user"
        )
    if who[0] == "0":
        return connection
    if "sudo" in who[2:3]:
        return Connection(connection.ssh, connection.target, "sudo -n -- ")
    name, user = connection.target.name, who[1]
    if len(who) < 3:
        raise Refused(f"{name} has no sudo and {user} is not root: log in as root (root@{name})")
    if sudo_password is None:
        raise Refused(f"sudo wants a password from {user} on {name}: give --ask-become-pass, or log in as root")
    # -k: asks every time, so that the first line of stdin is always sudo's and never the script's.
    root = Connection(connection.ssh, connection.target, "sudo -k -S -p '' -- ", sudo_password + b"\n")
    done = root.run("id -u")
    if done.out.strip() != "0":
        raise Refused(f"sudo refuses {user} on {name}: {last_line(done)}: check the password and the group sudo")
    return root


def what_ssh_said(target: Target, said: str) -> EdgeError:
    """OpenSSH's last word, and what to do about it."""
    lines = [line for line in said.strip().splitlines() if not line.startswith("Warning: Permanently added")]
    last = lines[-1].strip() if lines else "the connection was closed"
    if "Host key verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
        return Refused(
            f"{target.name} does not show the host key that known_hosts has, or none is there: compare its fingerprint "
            f"on the machine (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then 'ssh {target.address}' once"
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return Refused(f"{target.name} does not let us in ({last}): ssh-copy-id {target.address}")
    return ConnectionLost(f"{target.name} cannot be reached ({last}): see that '{target.as_typed()}' works")


def last_line(done: Done) -> str:
    lines = (done.err.strip() or done.out.strip()).splitlines()
    return lines[-1].strip() if lines else f"exit status {done.code}"


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
