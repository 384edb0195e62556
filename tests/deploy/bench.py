"""Real doors: Debian 12 with a real systemd and a real sshd, each in a network namespace of its own.

A door has one wire, to the workstation (this machine), and no route beyond it: no registry, no mirror, no internet but
what the workstation offers. Its root is a layer on one cached file system, so a door costs a second and the megabytes
it writes. ``Door.cut_power`` and ``Door.boot`` make it forget what it had not written; ``Bench.door(on=...)`` begins
where another door, that is switched off, ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from tests.service.disk import Disk
from tests.service.machine import Machine, up
from tests.service.rootfs import CACHE, MIRROR, SUITE, do
from tests.service.rootfs import missing as missing_for_service

# What the installer of Debian, without any task but the SSH server, leaves behind; no Python.
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev", "iproute2", "procps"),
    *("openssh-server", "sudo", "ca-certificates"),
)
BROUGHT: Final = ("python3-venv", "python3-systemd")
NETWORK: Final = f"10.{200 + os.getpid() % 50}"  # /16, another for another run; each door has a /30 of it
SSHD_S: Final = 20.0


def missing() -> str | None:
    """What keeps this machine from being a bench, with the remedy; None where nothing does."""
    why = missing_for_service()
    if why:
        return why.replace("test-service", "test-deploy")
    absent = [name for name in ("ssh", "ssh-keygen", "ip", "apt-ftparchive") if not shutil.which(name)]
    return f"needs {', '.join(absent)}: apt install openssh-client iproute2 apt-utils" if absent else None


def base() -> Path:
    """A bare Debian, made where it is not there yet: minutes, and 300 MB."""
    key = hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()[:12]
    ready, new = CACHE / f"bare-{SUITE}-{key}", CACHE / f"bare-{SUITE}-{key}.new"
    if not ready.is_dir():
        shutil.rmtree(new, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        do("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(new), MIRROR)
        for host_key in (new / "etc/ssh").glob("ssh_host_*"):
            host_key.unlink()  # each door makes its own
        new.rename(ready)
    return ready


def debs() -> Path:
    """The Debian packages that a door needs and a bare one lacks, and an index of them: a folder, and a mirror."""
    key = hashlib.sha256(repr((base().name, BROUGHT)).encode()).hexdigest()[:12]
    ready, new = CACHE / f"debs-{key}", CACHE / f"debs-{key}.new"
    if not ready.is_dir():
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        with layered(new / "scratch", (base(),)) as root:
            in_root = ("chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")
            do(*in_root, "clean")  # what debootstrap left
            do(*in_root, "update")
            do(*in_root, "--no-install-recommends", "--download-only", "install", *BROUGHT)
            for deb in (root / "var/cache/apt/archives").glob("*.deb"):
                shutil.copy(deb, new)
        shutil.rmtree(new / "scratch")
        index = subprocess.run(["apt-ftparchive", "packages", "."], cwd=new, check=True, capture_output=True)
        (new / "Packages").write_bytes(index.stdout)
        new.rename(ready)
    return ready


@contextlib.contextmanager
def layered(folder: Path, lower: Sequence[Path]) -> Iterator[Path]:
    """A root that may be written to. lower: from the top down; what is written lies in ``folder/upper``."""
    upper, work, merged = (folder / name for name in ("upper", "work", "root"))
    for one in (upper, work, merged):
        one.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
    do("mount", "-t", "overlay", "overlay", "-o", options, str(merged))
    try:
        yield merged
    finally:
        do("umount", "--lazy", str(merged))


@dataclass
class Door:
    """A machine that may be booted, cut off and booted again.

    address: of the door; gateway: of the workstation, as the door sees it. root: its files, also while it is off;
    upper: of these, what is not the base's.
    """

    name: str
    namespace: str
    wire: str
    address: str
    gateway: str
    folder: Path
    lower: tuple[Path, ...]
    root: Path
    _nspawn: subprocess.Popen[bytes] | None = None
    _machine: Machine | None = None

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def machine(self) -> Machine:
        assert self._machine is not None, f"{self.name} is off"
        return self._machine

    def run(self, *argv: str, check: bool = True) -> str:
        """A command inside, as root, not by ssh."""
        return self.machine.run(*argv, check=check)

    def boot(self) -> Door:
        console = self.folder / "console"
        argv = ("systemd-nspawn", "--quiet", "-D", str(self.root), "-b", "--register=no", "--keep-unit")
        wire = f"--network-namespace-path=/run/netns/{self.namespace}"
        with console.open("ab") as log:
            whole = [*argv, wire, "--link-journal=no"]
            self._nspawn = subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._machine = up(self.root, self._nspawn, console, Disk(self.root / "var/lib/mask-edge", ""))
        self.machine.seconds_until(self._answers, "sshd", SSHD_S)
        return self

    def _answers(self) -> bool:
        return "active" in self.run("systemctl", "is-active", "ssh", check=False).split()

    def holds(self, pid: int) -> bool:
        """Whether a process of this machine is one of the door's."""
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path(f"/proc/{self.machine.leader}/ns/pid").readlink()

    def switch_off(self) -> None:
        """As by the button: in order."""
        if self._nspawn is None:
            return
        self._nspawn.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._nspawn.wait(60)
        self.cut_power()

    def cut_power(self) -> None:
        """Every process gone at once. The page cache survives this: what was never synced is not lost here."""
        if self._nspawn is None:
            return
        if self._machine is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._machine.leader, signal.SIGKILL)
        self._nspawn.kill()
        self._nspawn.wait()
        self._nspawn = self._machine = None

    def pull_cable(self, is_out: bool = True) -> None:
        do("ip", "link", "set", self.wire, "down" if is_out else "up")


@dataclass
class Bench:
    """The workstation's side: one folder with a key and an ssh configuration of its own, and the doors there are."""

    folder: Path
    debs: Path
    _doors: list[Door] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def key(self) -> Path:
        return self.folder / "key"

    def door(self, name: str | None = None, on: Door | None = None, is_booted: bool = True) -> Door:
        """One more. on: a door, switched off, whose files this one begins with (a copy costs nothing)."""
        number = next(self._numbers)
        name = name or f"door-{number}"
        gateway, address = (f"{NETWORK}.{number // 60}.{number % 60 * 4 + last}" for last in (1, 2))
        folder = self.folder / name
        lower = (on.upper, *on.lower) if on else (base(),)
        namespace, wire = f"door-{os.getpid()}-{number}", f"ve{os.getpid()}-{number}"
        self._stack.enter_context(wired(namespace, wire, gateway, address))
        root = self._stack.enter_context(layered(folder, lower))
        door = Door(name, namespace, wire, address, gateway, folder, lower, root)
        self._stack.callback(door.cut_power)
        self._settle(door)
        self._doors.append(door)
        return door.boot() if is_booted else door

    def _settle(self, door: Door) -> None:
        """What whoever puts up a machine does: its name, its host key, our public key, where packages come from."""
        (door.root / "etc/hostname").write_text(f"{door.name}\n")
        (door.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {door.name}\n")
        (door.root / "etc/apt/sources.list").write_text("")
        keys = door.root / "root/.ssh"
        keys.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.key.with_suffix(".pub"), keys / "authorized_keys")
        host_key = door.root / "etc/ssh/ssh_host_ed25519_key"
        for old in host_key.parent.glob("ssh_host_*"):
            old.unlink()
        make_key(host_key)
        public = host_key.with_suffix(".pub").read_text().split()[:2]
        with (self.folder / "known_hosts").open("a") as known:
            known.write(f"{door.address} {' '.join(public)}\n")
        with self.ssh_config.open("a") as config:
            config.write(f"Host {door.name}\n    HostName {door.address}\n")

    def ssh(self, destination: str, command: str, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = ("ssh", "-F", str(self.ssh_config), "-oBatchMode=yes", *options, "--", destination, command)
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, check=False)

    def close(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def wired(namespace: str, wire: str, gateway: str, address: str) -> Iterator[None]:
    """A namespace with one wire to this machine, and no other way out."""
    do("ip", "netns", "add", namespace)
    try:
        do("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        do("ip", "addr", "add", f"{gateway}/30", "dev", wire)
        do("ip", "link", "set", wire, "up")
        do("ip", "-n", namespace, "addr", "add", f"{address}/30", "dev", "eth0")
        for end in ("eth0", "lo"):
            do("ip", "-n", namespace, "link", "set", end, "up")
        yield
    finally:
        do("ip", "netns", "del", namespace)


def make_key(path: Path) -> None:
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path))


@contextlib.contextmanager
def benched(folder: Path) -> Iterator[Bench]:
    made = Bench(folder, debs())
    make_key(made.key)
    known, config = folder / "known_hosts", "Host *\n    User root\n    IdentityFile {key}\n    IdentitiesOnly yes\n"
    checked = "    StrictHostKeyChecking yes\n    UserKnownHostsFile {known}\n    GlobalKnownHostsFile /dev/null\n"
    made.ssh_config.write_text((config + checked).format(key=made.key, known=known))
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def serving(folder: Path, address: str, port: int) -> Iterator[str]:
    """A folder by HTTP, on one of this machine's addresses."""
    argv = ("python3", "-m", "http.server", "--directory", str(folder), "--bind", address, str(port))
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield f"http://{address}:{port}"
    finally:
        server.terminate()
        server.wait(10)


if __name__ == "__main__":
    print(missing() or f"{base()}\n{debs()}")
