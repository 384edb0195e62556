"""The command line as a user meets it: exit codes, one line for every mistake, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edge import __main__ as command
from edge import __version__, third_party
from edge.__main__ import main
from edge.edgetpu import EdgeTpu
from edge.places import PACKAGE
from edge.sources.images import read_image
from tests.edge.bundles import DATA, GREEN_BGR, make_bundle, plain, png
from tests.edge.tpu import make_tpu_bundle

ROOT = PACKAGE.parent
COMMANDS = [
    [],
    ["run"],
    ["classify"],
    ["check"],
    ["status"],
    ["model"],
    ["model", "list"],
    ["model", "fetch"],
    ["model", "verify"],
    ["model", "install"],
    ["model", "activate"],
    ["model", "rollback"],
]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(make_bundle(tmp_path / "tiny"))


def make_clip(path: Path, frames: int) -> str:
    """One face, 200 x 200, ten frames a second, as an AVI that can be cut anywhere."""
    face = cv2.resize(read_image(DATA / "portrait_bare.jpg"), (200, 200), interpolation=cv2.INTER_AREA)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (200, 200))
    for _ in range(frames):
        writer.write(face)
    writer.release()
    return str(path)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return make_clip(tmp_path / "door.avi", frames=15)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "flat.png"
    path.write_bytes(png(plain(GREEN_BGR, 60, 60)))
    return str(path)


def edge(*argv: str, stdout: int | None = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """A process of its own, where signals and file descriptors matter."""
    command = [sys.executable, "-m", "edge", *argv]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False)


def mistake(capsys: Captured, *argv: str) -> tuple[int, str]:
    """The exit code and the one line of a command that cannot work; it writes nothing to stdout."""
    code = main(argv)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edge: ")
    assert err.count("\n") == 1
    return code, err.rstrip("\n")


# --- help ---


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_with_an_example(capsys: Captured, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "\n  edge " in out.partition("example")[2]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_tells_the_version(capsys: Captured, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"edge {__version__}\n")


# --- usage: 64 ---


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "no command: see 'edge --help'"),
        (["watch-door"], "invalid choice: 'watch-door'"),
        (["run", "--sauce", "x"], "unrecognized arguments: --sauce x: see"),
        (["run", "--pace", "fast"], "argument --pace: invalid choice: 'fast'"),
        (["run", "--drain-s", "-1"], "argument --drain-s: must be 0-600 seconds, is -1"),
        (["run", "--drain-s", "nan"], "argument --drain-s: must be 0-600 seconds, is nan"),
        (["run", "--drain-s", "soon"], "argument --drain-s: invalid seconds value: 'soon'"),
        (["run", "--detector", "retinaface"], "argument --detector: invalid choice: 'retinaface'"),
        (["run"], "no source: name one with --source, or as camera.source in the config file"),
        (["run", "--source", "a.mp4"], "no sink: name one with --sink (jsonl:- is stdout)"),
        (["classify"], "the following arguments are required: IMAGE: see 'edge classify --help'"),
        (["model"], "the following arguments are required: ACTION"),
        (["model", "activate", "a@0123456789ab", "--trial", "-1"], "argument --trial: must be 0-1440 minutes, is -1"),
        (["model", "rollback", "--wait", "0"], "argument --wait: must be 5-600 seconds, is 0"),
        (["model", "install", "a", "--keep", "0"], "argument --keep: must be 1-1000, is 0"),
        (["model", "fetch", "retinaface"], "'retinaface' is no listed model file: one of yunet, centerface"),
    ],
)
def test_a_wrong_command_line_is_64_and_says_where_help_is(capsys: Captured, argv: list[str], says: str) -> None:
    code, said = mistake(capsys, *argv)
    assert code == 64
    assert says in said


# --- configuration: 78, or 66 where there is none ---


def test_an_unknown_key_is_78_with_the_file_and_the_nearest_key(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[camera]\nsauce = 'door.mp4'\n")
    code, said = mistake(capsys, "run", "--config", str(tmp_path / "config.toml"))
    assert code == 78
    assert said.endswith("config.toml: camera.sauce is not a known key: did you mean source?")


def test_a_missing_config_file_is_66(capsys: Captured) -> None:
    code, said = mistake(capsys, "classify", "a.jpg", "--config", "/none/config.toml")
    assert (code, said) == (66, "edge: config file /none/config.toml is not there: name another with --config")


def test_the_command_line_goes_before_the_config_file(capsys: Captured, tmp_path: Path, bundle: str) -> None:
    (tmp_path / "config.toml").write_text("[classifier]\nbundle = '/none'\n[camera]\nsource = '/none.mp4'\n")
    argv = ["run", "--config", str(tmp_path / "config.toml"), "--model", bundle, "--source", "/other.mp4"]
    code, said = mistake(capsys, *argv, "--detector", "centerface", "--sink", "jsonl:-")
    assert (code, said.split(": ")[1]) == (66, "/other.mp4")


# --- models: 65, 66 ---


@pytest.mark.parametrize("argv", [["classify", "a.jpg"], ["run", "--source", "a.mp4", "--sink", "jsonl:-"]])
def test_a_missing_model_folder_is_66(capsys: Captured, argv: list[str]) -> None:
    code, said = mistake(capsys, *argv, "--model", "/none/mask", "--detector", "centerface")
    assert code == 66
    assert said.startswith("edge: no model bundle at /none/mask: bundle.json is not there: name the folder")


def test_a_truncated_model_is_65_and_kills_nothing(bundle: str, picture: str) -> None:
    os.truncate(Path(bundle) / "model.tflite", 1000)
    done = edge("classify", picture, "--model", bundle)
    assert (done.returncode, done.stdout) == (65, "")
    assert "model.tflite has 1,000 bytes instead of 1,640: copy the bundle again" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where detectors are looked for."""
    monkeypatch.setattr(third_party, "third_party_dirs", lambda: (tmp_path / "detectors",))
    (tmp_path / "detectors").mkdir()
    return tmp_path / "detectors"


def test_a_wrong_detector_file_is_65_with_the_remedy(capsys: Captured, detectors: Path, bundle: str) -> None:
    (detectors / "centerface.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    code, said = mistake(capsys, "classify", "a.jpg", "--model", bundle)
    assert code == 65
    assert said.endswith("(truncated?): run 'edge model fetch centerface'")


def test_no_detector_at_all_is_66_with_the_remedy(capsys: Captured, detectors: Path, bundle: str) -> None:
    code, said = mistake(capsys, "classify", "a.jpg", "--model", bundle)
    assert (code, said) == (66, "edge: no face detector is on this machine: run 'edge model fetch'")


def test_verify_tells_what_agrees_and_refuses_the_rest(capsys: Captured, bundle: str) -> None:
    assert main(["model", "verify", bundle]) == 0
    assert "2 golden inputs agree on" in capsys.readouterr().out
    (Path(bundle) / "stranger").touch()
    code, said = mistake(capsys, "model", "verify", bundle)
    assert code == 65
    assert "stranger is not listed in bundle.json: remove it" in said


def test_list_names_every_model_file_and_whether_it_is_here(capsys: Captured, detectors: Path) -> None:
    assert main(["model", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == ["yunet", "centerface"]
    assert "not here: edge model fetch yunet" in lines[1]


def test_list_says_that_the_active_model_is_gone(
    capsys: Captured, detectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "active").symlink_to("mine@0123456789ab")
    assert main(["model", "list"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("mine@0123456789ab\tclassifier\tactive, not usable: ")
    assert "points to mine@0123456789ab, which is not there" in first
    assert len(rest) == 3


def test_list_tells_machines_the_same(capsys: Captured, detectors: Path) -> None:
    assert main(["model", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["v"], told["active"], told["previous"], told["trial"]) == (1, None, None, None)
    (shipped,) = told["models"]
    assert (shipped["state"], shipped["is_usable"], shipped["why"]) == ("shipped, active", True, "")
    assert [detector["name"] for detector in told["detectors"]] == ["yunet", "centerface"]


# --- classify ---


def classify(bundle: str, *argv: str) -> int:
    return main(["classify", *argv, "--model", bundle, "--detector", "centerface"])


def test_classify_gives_a_line_of_json_for_each_picture(capsys: Captured, bundle: str, picture: str) -> None:
    portrait = str(DATA / "portrait_bare.jpg")
    assert classify(bundle, portrait, picture, "--json") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["image"], len(one["faces"])) for one in said] == [(portrait, 1), (picture, 0)]
    assert said[0]["detector"] == "centerface"
    assert said[0]["model"].startswith("tiny@")


def test_classify_with_an_accelerator_that_is_away_is_69_and_not_a_guess_of_the_cpu(
    capsys: Captured, tmp_path: Path, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EdgeTpu.__init__, "__defaults__", ("libedgetpu-that-is-not-here.so.1",))
    (tmp_path / "config.toml").write_text("[classifier]\naccelerator = 'edgetpu'\n")
    tpu_bundle = str(make_tpu_bundle(tmp_path / "for-tpu"))
    code, said = mistake(capsys, "classify", picture, "--model", tpu_bundle, "--config", str(tmp_path / "config.toml"))
    assert code == 69
    assert "libedgetpu-that-is-not-here.so.1 cannot be loaded" in said


def test_classify_without_json_speaks_to_people(capsys: Captured, bundle: str) -> None:
    assert classify(bundle, str(DATA / "two_people.jpg")) == 0
    assert "two_people.jpg: 2 faces\n" in capsys.readouterr().out


def test_a_broken_picture_is_65_and_the_others_are_judged(
    capsys: Captured, bundle: str, picture: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((DATA / "portrait_bare.jpg").read_bytes()[:1024])
    assert classify(bundle, str(broken), picture, "--json") == 65
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0] == {"image": str(broken), "error": "not an image: truncated after 1,024 bytes"}
    assert said[1]["faces"] == []


def test_a_missing_picture_is_66(capsys: Captured, bundle: str) -> None:
    assert classify(bundle, "/none.jpg", "--json") == 66
    assert json.loads(capsys.readouterr().out)["error"] == "no such file"


def test_an_annotated_folder_that_cannot_be_made_is_73(capsys: Captured, bundle: str, picture: str) -> None:
    code, said = mistake(capsys, "classify", picture, "--model", bundle, "--annotate", f"{picture}/out")
    assert code == 73
    assert "cannot be made" in said


def test_an_annotated_folder_that_holds_an_image_is_64_and_nothing_is_written(
    capsys: Captured, bundle: str, picture: str, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "flat.png").write_bytes(Path(picture).read_bytes())
    code, said = mistake(
        capsys, "classify", f"{tmp_path}/b", f"{tmp_path}/a", "--model", bundle, "--annotate", f"{tmp_path}/a"
    )
    assert code == 64
    assert "a/flat.png itself, which must stay" in said
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["flat.png"]


# --- run ---


def run(bundle: str, source: str, sink: str) -> list[str]:
    argv = ["run", "--source", source, "--sink", sink, "--pace", "max", "--model", bundle]
    return [*argv, "--detector", "centerface"]


def events(path: Path) -> list[tuple[str, int]]:
    return [(event["type"], event["person"]) for event in map(json.loads, path.read_text().splitlines())]


def test_a_clip_is_run_to_its_end(bundle: str, clip: str, tmp_path: Path) -> None:
    assert main(run(bundle, clip, f"jsonl:{tmp_path}/events")) == 0
    assert events(tmp_path / "events") == [("decided", 1), ("left", 1)]


def test_a_truncated_video_is_65_after_what_was_read_is_decided(
    capsys: Captured, bundle: str, clip: str, tmp_path: Path
) -> None:
    os.truncate(clip, Path(clip).stat().st_size * 3 // 4)
    code, said = mistake(capsys, *run(bundle, clip, f"jsonl:{tmp_path}/events"))
    assert code == 65
    assert clip in said
    assert events(tmp_path / "events") == [("decided", 1), ("left", 1)]


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("/none.mp4", 66, "/none.mp4: no such file or folder"),
        ("gopher://door", 64, "'gopher://door' is not a source: give a video file"),
        ("v4l2:/dev/video99", 66, "/dev/video99"),
        ("/dev/null", 64, "/dev/null is a device"),
    ],
)
def test_a_source_that_is_not_one_or_not_there(
    capsys: Captured, bundle: str, tmp_path: Path, source: str, code: int, says: str
) -> None:
    found, said = mistake(capsys, *run(bundle, source, f"jsonl:{tmp_path}/events"))
    assert found == code
    assert says in said
    assert not (tmp_path / "events").exists()


def test_a_text_in_place_of_a_video_is_65(capsys: Captured, bundle: str, tmp_path: Path) -> None:
    (tmp_path / "door.mp4").write_text("not a video\n" * 100)
    code, said = mistake(capsys, *run(bundle, str(tmp_path / "door.mp4"), "jsonl:-"))
    assert code == 65
    assert "door.mp4" in said


@pytest.mark.parametrize(
    ("sink", "code", "says"),
    [
        ("jsonl:/none/events", 73, "cannot create /none/events: No such file or directory"),
        ("jsonl:/dev/full", 74, "cannot write to /dev/full: No space left on device; 0 events"),
        ("carrier-pigeon:", 64, "unknown sink 'carrier-pigeon:': use jsonl:PATH"),
        ("mqtt://hall:geheim@broker", 78, ""),
    ],
)
def test_a_sink_that_cannot_be_used(capsys: Captured, bundle: str, clip: str, sink: str, code: int, says: str) -> None:
    found, said = mistake(capsys, *run(bundle, clip, sink))
    assert found == code
    assert says in said
    assert "geheim" not in said


@pytest.mark.parametrize(
    ("sink", "code", "says"),
    [
        ("carrier-pigeon:", 64, "unknown sink"),
        ("mqtt://hall:geheim@broker", 78, "holds a password"),
        ("mqtt://hall@broker", 78, "would travel unencrypted"),
        ("mqtt://hall@broker:0", 78, "port 0"),
        ("jsonl:", 64, "names no file"),
    ],
)
def test_a_wrong_sink_is_told_before_model_and_camera_are_opened(
    capsys: Captured, tmp_path: Path, sink: str, code: int, says: str
) -> None:
    (tmp_path / "password").write_text("geheim")
    (tmp_path / "config.toml").write_text(f"[mqtt]\npassword_file = '{tmp_path}/password'\n")
    events = f"jsonl:{tmp_path}/events"
    argv = [*run("/none", "/none.mp4", events), "--sink", sink, "--config", str(tmp_path / "config.toml")]
    found, said = mistake(capsys, *argv)
    assert found == code
    assert says in said
    assert "geheim" not in said
    assert not (tmp_path / "events").exists()


# --- the process ---


@pytest.mark.parametrize("argv", [("classify", "{picture}", "--json"), ("model", "verify", "{bundle}")])
def test_a_full_disk_under_stdout_is_74(bundle: str, picture: str, argv: tuple[str, ...]) -> None:
    words = [word.format(picture=picture, bundle=bundle) for word in argv]
    extra = ["--model", bundle] if argv[0] == "classify" else []
    with Path("/dev/full").open("w") as full:
        done = edge(*words, *extra, stdout=full.fileno())
    assert done.returncode == 74
    assert done.stderr.splitlines()[-1] == (
        "edge: output: No space left on device: make room, or look after the device"
    )


def test_a_reader_who_went_away_ends_it_quietly(bundle: str, picture: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = edge("classify", picture, "--json", "--model", bundle, stdout=writer)
    os.close(writer)
    assert done.returncode == 0
    assert "Broken" not in done.stderr


def test_a_live_run_ends_when_nobody_reads_its_events_any_longer(bundle: str, tmp_path: Path) -> None:
    long = make_clip(tmp_path / "long.avi", frames=700)  # ten seconds more than a process is given here
    reader, writer = os.pipe()
    os.close(reader)
    argv = [word if word != "max" else "live" for word in run(bundle, long, "jsonl:-")]
    done = edge(*argv, stdout=writer)
    os.close(writer)
    assert (done.returncode, "Broken" in done.stderr) == (0, False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)])
def test_a_run_that_is_ended_tells_of_everyone(bundle: str, tmp_path: Path, number: int, code: int) -> None:
    """By Ctrl-C, by kill, by a terminal that was closed."""
    long = make_clip(tmp_path / "long.avi", frames=200)
    argv = [word if word != "max" else "live" for word in run(bundle, long, "jsonl:-")]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", *argv], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    first = process.stdout.readline()  # somebody was decided: the run is in full swing
    process.send_signal(number)
    rest, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert [json.loads(line)["type"] for line in (first + rest).splitlines()] == ["decided", "left"]
    assert "Traceback" not in err


def test_ctrl_c_in_any_other_command_is_130(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "act_model_list", interrupted)
    assert main(["model", "list"]) == 130
    assert capsys.readouterr().err == ""


def test_a_file_that_this_user_may_not_open_is_77(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_args: object) -> int:
        raise PermissionError(13, "Permission denied", "/var/lib/mask-edge/models")

    monkeypatch.setattr(command, "act_model_list", refused)
    said = "edge: /var/lib/mask-edge/models may not be used by this user: change its permissions"
    assert mistake(capsys, "model", "list") == (77, said)


def test_only_our_own_fault_shows_a_traceback_and_is_70(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(_args: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "act_model_list", faulty)
    assert main(["model", "list"]) == 70
    assert "this is a fault of mask-edge" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_missing_model_is_asked_for_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like a login is masked wherever it stands."""
    assert main(["model", "activate"]) == 64
    assert "the following arguments are required: MODEL" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--annotate", "--config"])
def test_an_empty_path_is_no_path(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main(["classify", "a.jpg", option, ""]) == 64
    assert f"argument {option}: must be a path, is empty" in capsys.readouterr().err
