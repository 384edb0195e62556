"""The steps that make a machine a door, and those that take the door away again. docs/deploy.md tells them in prose."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.doors.facts import Facts
from deploy.doors.settings import CA_FILE, Settings
from deploy.doors.steps import Run, Send, Step
from deploy.doors.wheels import FILES, SWITCH, UNIT, Software
from edge import third_party
from edge.errors import Busy

SYSTEMD: Final = UNIT.parent
BASE: Final = "/opt/mask-edge.d"
LINK: Final = "/opt/mask-edge"
COMMAND: Final = "/usr/local/bin/edge"
UNIT_FILE: Final = "/etc/systemd/system/mask-edge.service"
SYSUSERS: Final = "/etc/sysusers.d/mask-edge.conf"
TMPFILES: Final = "/etc/tmpfiles.d/mask-edge.conf"
UDEV: Final = "/etc/udev/rules.d/60-mask-edge-coral.rules"
CONFIG: Final = "/etc/mask-edge/config.toml"
KEPT: Final = "echo 'the one that is there is kept; --replace-config puts this in its place'"
PASSWORD: Final = "/etc/credstore/mask-edge.mqtt_password"
STATE: Final = "/var/lib/mask-edge"
CACHE: Final = "/var/cache/mask-edge"
DEPLOY_USER: Final = "mask-edge-deploy"
DEPLOY_SYSUSERS: Final = "/etc/sysusers.d/mask-edge-deploy.conf"
DEPLOY_HOME: Final = "/var/lib/mask-edge-deploy"
DEPLOY_KEYS: Final = f"{DEPLOY_HOME}/.ssh/authorized_keys"
SUDOERS: Final = "/etc/sudoers.d/mask-edge"
# Split at blanks and handed on as words; with `set -f` and without eval nothing in them means anything to the shell.
FORCED: Final = (
    'restrict,command="set -f; exec sudo -n -u mask-edge /opt/mask-edge/bin/edge ${SSH_ORIGINAL_COMMAND#edge }" '
)
FREE_MB: Final = 700
ALONE: Final = "-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null"  # no mirror is asked
LAST_WORDS: Final = "journalctl --no-pager -o cat -n 12 -u mask-edge.service"
MODELS: Final = ("yunet", "centerface")


@dataclass(frozen=True, slots=True)
class Wish:
    """What an install is asked for. debs: a folder of Debian packages instead of the door's mirror."""

    settings: Settings
    debs: Path | None = None
    replace_config: bool = False


def installing(software: Software, wish: Wish, facts: Facts, name: str) -> list[Step]:
    """Everything, in order. Raises what Settings.config does."""
    given = wish.settings
    steps = [
        packages(needed(facts, given), wish.debs),
        file(
            "user and group mask-edge",
            SYSUSERS,
            read("sysusers.d/mask-edge.conf"),
            then="systemd-sysusers {}",
            so=there("mask-edge"),
        ),
        file(
            "folder /etc/mask-edge",
            TMPFILES,
            read("tmpfiles.d/mask-edge.conf"),
            then="systemd-tmpfiles --create {}",
            so=is_owned("/etc/mask-edge", "root:mask-edge", "750"),
        ),
        file(
            "udev rule for the Coral", UDEV, read("60-mask-edge-coral.rules"), then="udevadm control --reload || true"
        ),
        the_software(software),
        *(model_file(model) for model in MODELS),
    ]
    if not facts.has_config or wish.replace_config:
        steps.append(config(given.config(facts.host, name), wish.replace_config))
    elif given.camera and given.broker:
        steps.append(config(given.config(facts.host, name), may_replace=False))
    elif given.camera or given.broker:  # too little for a file that could be compared
        steps.append(Step(f"configuration {CONFIG}", Run(f"[ -e {CONFIG} ] && {KEPT}"), (), "name camera and broker"))
    if given.ca:
        steps.append(file("CA certificates for the broker", CA_FILE, given.ca))
    if given.password:
        steps.append(password(given.password))
    if given.deploy_keys:
        steps += deployer(given.deploy_keys)
    return [*steps, command(), switch(software), running(), tidy(software)]


def needed(facts: Facts, given: Settings) -> list[str]:
    names = ["python3-venv", "python3-systemd"]
    if facts.is_pi:
        names.append("python3-picamera2")
    if given.deploy_keys:
        names.append("sudo")
    return names


def read(name: str) -> bytes:
    return (SYSTEMD / name).read_bytes()


def packages(names: Sequence[str], debs: Path | None) -> Step:
    wanted = " ".join(names)
    status = f"dpkg-query -W -f '${{db:Status-Status}}\\n' {wanted} 2>/dev/null"
    holds = f'[ "$({status} | grep -cx installed)" = {len(names)} ]'
    quiet = "export DEBIAN_FRONTEND=noninteractive; set -e"
    apt = "apt-get -q -y -o DPkg::Lock::Timeout=120 -o APT::Install-Recommends=false"
    if debs is None:
        remedy = "see that the door reaches its Debian mirror, or bring the packages along with --debs"
        act: tuple[Run | Send, ...] = (Run(f"{quiet}; {apt} update; {apt} install {wanted}"),)
    else:
        remedy = f"put {wanted} and what they need into {debs}, of this door's Debian and architecture"
        folder = f"{CACHE}/debs"
        act = (
            Send(f"packages from {debs}", partial(debs_of, debs), folder),
            Run(f"{quiet}; {apt} {ALONE} install {folder}/*.deb; rm -r {folder}; {holds}"),
        )
    return Step(f"Debian packages {', '.join(names)}", Run(holds), act, remedy)


def debs_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.deb"))


def file(
    what: str,
    path: str,
    content: bytes,
    *,
    mode: str = "644",
    owner: str = "root:root",
    test: str = "",
    then: str = "",
    so: str = "true",
) -> Step:
    """A file with this content, owner and mode, put in place whole. test: of the new file, before it counts ({}: it);
    then: what takes notice of it; so: whether that was done."""
    digest = hashlib.sha256(content).hexdigest()
    holds = f'[ "$(sha256sum <{path} | cut -c-64)" = {digest} ] && {is_owned(path, owner, mode)} && {so}'
    checked = f"{test.format(path + '.new')} && " if test else ""
    put = f"umask 077; mkdir -p -m 755 {Path(path).parent} && cat >{path}.new && {own(path + '.new', owner, mode)}"
    after = f" && {{ {then.format(path)}; }}" if then else ""
    act = Run(f"{put} && {checked}sync {path}.new && mv {path}.new {path}{after}", content)
    return Step(what, Run(f"exec 2>/dev/null; {holds}"), (act,), f"see what stands in the way of {path}")


def is_owned(path: str, owner: str, mode: str) -> str:
    return f'[ "$(stat -c "%U:%G %a" {path})" = "{owner} {mode}" ]'


def there(user: str) -> str:
    return f"getent passwd {user} >/dev/null"


def own(path: str, owner: str, mode: str) -> str:
    return f"chown {owner} {path} && chmod {mode} {path}"


def the_software(software: Software) -> Step:
    """A new environment beside the one in use. What it brought is tried before it counts: its hashes, its imports, and
    the shipped model's golden inputs on this very processor."""
    new, wheels = f"{BASE}/{software.release}", f"{CACHE}/wheels"
    requirements = f"{wheels}/{software.release}.txt"
    room = f"""[ "$(df -Pm /opt | awk 'NR==2 {{print $4}}')" -ge {FREE_MB} ] && exit
echo "No space left: {FREE_MB} MB are needed on /opt" >&2; exit 1"""
    flags = "--isolated --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps --ignore-installed"
    build = f"""set -e; umask 022; rm -rf {new}; mkdir -p {BASE}
python3 -m venv --system-site-packages {new}
{new}/bin/pip install {flags} --require-hashes --find-links={wheels} -r {requirements}
cd /; {new}/bin/edge --version
runuser -u mask-edge -- {new}/bin/edge model verify {new}/lib/python3*/site-packages/edge/_models/mask-mnv2"""
    return Step(
        f"software {software.release}",
        Run(f"[ -e {new}/complete ]"),
        (
            Run(f"set -e; mkdir -p {wheels}; install -d -m 750 -o mask-edge -g mask-edge {STATE}; {room}"),
            Send("wheels that the door lacks", software.files, wheels),
            Run(f"cat >{requirements}", software.requirements()),
            Run(build),
            Run(f"cat >{new}/mask-edge.service", UNIT),
            Run(f"cat >{new}/switch && chmod 755 {new}/switch && chmod 644 {new}/mask-edge.service", SWITCH),
            Run(
                f"cd {wheels}; for file in *.whl; do "
                f"grep -qF $(sha256sum <$file | cut -c-64) {requirements} || rm $file; done"
            ),
            Run(f"sync -f {new} && touch {new}/complete && sync {new}/complete {new}"),
        ),
        "run this again; it begins the environment anew",
    )


def model_file(name: str) -> Step:
    """A detector's file of others, which no wheel carries; fetched here where it is not here yet."""
    item = third_party.named(name)
    path, mine = f"{STATE}/third_party/{item.file}", "-o mask-edge -g mask-edge"
    holds = f'[ "$(sha256sum <{path} | cut -c-64)" = {item.sha256} ]'
    put = f"install -d -m 750 {mine} {STATE} {STATE}/third_party && install -m 640 {mine} /dev/stdin {path}.new"
    return Step(
        f"model file {item.file}",
        Run(f"exec 2>/dev/null; {holds}"),
        (Run(f"{put} && sync {path}.new && mv {path}.new {path} && {holds}", partial(third_party.fetch, name)),),
        "run this again",
    )


def config(content: bytes, may_replace: bool) -> Step:
    """Written where there is none; one that is there stays, unless it may be replaced, and then is kept beside it."""
    put = file("", CONFIG, content, mode="640", owner="root:mask-edge")
    if may_replace:
        keep = Run(f"[ ! -e {CONFIG} ] || cp -p {CONFIG} {CONFIG}.before")
        return Step(f"configuration {CONFIG}", put.holds, (keep, *put.acts), put.remedy)
    holds = f"exec 2>/dev/null; [ -e {CONFIG} ] || exit 1; cmp -s - {CONFIG} || {KEPT}"
    return Step(f"configuration {CONFIG}", Run(holds, content), put.acts, put.remedy)


def password(secret: bytes) -> Step:
    """Compared by its bytes through stdin, so that not even a hash of it is in an argument."""
    put = file("", PASSWORD, secret, mode="600")
    make = Run(f"install -d -m 700 {Path(PASSWORD).parent}")
    holds = Run(f"exec 2>/dev/null; cmp -s - {PASSWORD} && {is_owned(PASSWORD, 'root:root', '600')}", secret)
    return Step("password for the broker", holds, (make, *put.acts), put.remedy)


def deployer(keys: bytes) -> list[Step]:
    """The user that brings models: its home and its keys are root's, and one command is all it has."""
    lines = [line for line in keys.decode().splitlines() if line.strip() and not line.startswith("#")]
    forced = "".join(f"{FORCED}{line}\n" for line in lines).encode()
    home = f"install -d -m 755 {DEPLOY_HOME} {DEPLOY_HOME}/.ssh"
    keyed = file(f"keys of {DEPLOY_USER}", DEPLOY_KEYS, forced)
    return [
        file(
            f"user {DEPLOY_USER}",
            DEPLOY_SYSUSERS,
            (FILES / "mask-edge-deploy.conf").read_bytes(),
            then="systemd-sysusers {}",
            so=there(DEPLOY_USER),
        ),
        file("rule for sudo", SUDOERS, (FILES / "sudoers").read_bytes(), mode="440", test="visudo -cqf {}"),
        Step(keyed.what, keyed.holds, (Run(home), *keyed.acts), keyed.remedy),
    ]


def command() -> Step:
    target = f"{LINK}/bin/edge"
    act = Run(f"ln -sfn {target} {COMMAND}")
    return Step(f"command {COMMAND}", Run(f'[ "$(readlink {COMMAND})" = {target} ]'), (act,), "see what is there")


def switch(software: Software) -> Step:
    """Software and unit, by one rename; the door itself goes back when the daemon does not come up."""
    new = f"{BASE}/{software.release}"
    at_work = f'[ "$(readlink {LINK})" = mask-edge.d/{software.release} ] && [ ! -e {BASE}/trial ]'
    # A unit of its own: a cut line does not end it, and two installs at once cannot both switch.
    unit = "systemd-run --quiet --collect --wait --unit=mask-edge-switch -pTimeoutStartSec=infinity"
    act = f"""{unit} {new}/switch {software.release}; code=$?
case $code in
0) exit;;
11|12) cat {BASE}/why && rm {BASE}/why;;
*) echo "another install is switching just now, or the switch could not run (it ended with $code)"
   exit {Busy.exit_code};;
esac
case $code in
11) echo "the new software did not come up; back at $(readlink {LINK}), $(systemctl is-active mask-edge)";;
12) echo "the daemon did not come up";;
esac
exit 1"""
    return Step(
        f"{software.release} at work",
        Run(f"{at_work} && cmp -s {new}/mask-edge.service {UNIT_FILE}"),
        (Run(act),),
        "the lines above are the daemon's; mend what they say and run this again",
    )


def running() -> Step:
    """Enabled, up, and started after the last change of what it reads only then."""
    files = f"{CONFIG} {CA_FILE} {PASSWORD} {UNIT_FILE}"
    holds = f"""exec 2>/dev/null
systemctl is-enabled --quiet mask-edge && systemctl is-active --quiet mask-edge || exit 1
started=$(date -d "$(systemctl show -P ExecMainStartTimestamp --timestamp=us mask-edge.service)" +%s%6N) || exit 1
for file in {files}; do
    [ ! -e "$file" ] || [ "$(stat -c %.6Z "$file" | tr -d .)" -le "$started" ] || exit 1
done"""
    act = f"systemctl enable --quiet mask-edge && systemctl restart mask-edge || {{ {LAST_WORDS}; exit 1; }}"
    return Step("daemon running with all of it", Run(holds), (Run(act),), "run 'edge check' on the door")


def tidy(software: Software) -> Step:
    """Of older software one is kept, the way back; of wheels, those of today."""
    keep = f'-e "^{software.release}$" -e "^$(readlink {BASE}/previous || echo .)$"'
    old = f"ls {BASE} | grep -vx -e previous -e trial | grep -v {keep}"
    return Step(
        "older software gone",
        Run(f'[ -z "$({old})" ]'),
        (Run(f"cd {BASE} && {old} | xargs -r rm -rf --"),),
        "look at " + BASE,
    )


# --- away with it ---


def removing(purge: bool) -> list[Step]:
    """Back to what it was. Configuration, password, events and models stay, and so does the user that owns them, unless
    ``purge``; Debian's packages always stay."""
    stop = f"systemctl disable --now --quiet mask-edge.service; rm -f {UNIT_FILE}; systemctl daemon-reload"
    files = f"{DEPLOY_SYSUSERS} {DEPLOY_HOME}"  # the first would bring the user back at the next boot
    users = f"""rm -rf {files}; pkill -KILL -u {DEPLOY_USER}; userdel {DEPLOY_USER} 2>/dev/null
! {there(DEPLOY_USER)}"""
    no_user = f"! {there(DEPLOY_USER)} || exit 1; for path in {files}; do [ ! -e $path ] || exit 1; done"
    steps = [
        Step("daemon stopped, unit gone", Run(f"[ ! -e {UNIT_FILE} ]"), (Run(stop),), "systemctl status mask-edge"),
        gone("privilege of deployments gone", SUDOERS, DEPLOY_KEYS),
        Step(f"user {DEPLOY_USER} gone", Run(no_user), (Run(users),), "userdel it"),
        gone("software gone", LINK, BASE, CACHE, COMMAND),
        gone("udev rule gone", UDEV, then="udevadm control --reload || true"),
        gone("rules for user and folder gone", SYSUSERS, TMPFILES),
    ]
    if purge:
        drop_ins = f"{UNIT_FILE}.d"
        both = f"userdel mask-edge; ! {there('mask-edge')}"
        steps += [
            gone(
                "configuration and password gone", "/etc/mask-edge", PASSWORD, drop_ins, then="systemctl daemon-reload"
            ),
            gone("events, counts and models gone", STATE),
            Step("user mask-edge gone", Run(f"! {there('mask-edge')}"), (Run(both),), "userdel it"),
        ]
    return steps


def gone(what: str, *paths: str, then: str = "true") -> Step:
    words = " ".join(shlex.quote(path) for path in paths)
    holds = f"for path in {words}; do [ ! -e $path ] && [ ! -L $path ] || exit 1; done"
    return Step(what, Run(holds), (Run(f"rm -rf -- {words} && {{ {then}; }}"),), "see what holds it")
