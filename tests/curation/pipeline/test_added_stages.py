"""A package's stage measures what cannot be written to, and an error or a wrong answer of it is told in words."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.pipeline.added_stages import check_same_code, measure_added, view_face
from avf_curation.pipeline.failures import (
    BrokenToolError,
    MemoryShortageError,
    OtherCodeError,
    classify_failure,
)
from avf_curation.pipeline.refining import FaceCrops
from avf_curation.recipe import load_recipe
from avf_curation.runs.identity import run_identity
from avf_curation.stages.added_stages import AddedStage, load_stage
from avf_curation.stages.definition import FaceSpan, PackageFaultError
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import EMBEDDED
from support.demo_files import DemoFiles
from support.plugin_packages import STAGE_TEXT, forget_packages, install, installed_packages, set_version

FACE = FaceSpan(
    face_THWC=np.full((4, 8, 8, 3), 90, np.uint8),
    boxes_T4=np.tile([1.0, 1, 7, 7], (4, 1)),
    samples=np.zeros(4 * 640, np.int16),
    seconds=0.16,
    scale=1.0,
)
FACE.face_THWC.setflags(write=False)
MEASURED = "round(float(face.face_THWC[::config.every].mean((1, 2, 3)).max()), 4)"


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Path]:
    with installed_packages(tmp_path / "site") as folder:
        yield folder


def added(site: Path, old: str = "", new: str = "") -> AddedStage:
    text = STAGE_TEXT.replace("NAME", "light")
    assert old in text
    install(site, "light", text.replace(old, new) if old else text)
    stage = load_stage("light")
    assert stage is not None
    return stage


def test_the_view_of_a_face_cannot_be_written_to_and_has_the_box_in_pixels_of_the_clip() -> None:
    crops = FaceCrops(face_THWC=np.zeros((2, 100, 100, 3), np.uint8), faces_NHW=np.zeros((1, 64, 64), np.uint8))
    window = SimpleNamespace(side_px=200.0, centres_T2=np.array([[300.0, 400.0]] * 2))
    track: Any = SimpleNamespace(window=window, boxes_T4=np.array([[250.0, 350, 350, 450]] * 2))
    face = view_face(crops, track, np.zeros(1280, np.int16))
    assert face.boxes_T4.tolist() == [[25, 25, 75, 75]] * 2
    assert (face.scale, face.seconds) == (0.5, 0.08)
    for array in (face.face_THWC, face.boxes_T4, face.samples):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    crops.face_THWC[0] = 1  # the clip's own array stays as it was


def test_a_stage_is_measured_and_decides(site: Path) -> None:
    stage = added(site)
    record, (check,) = measure_added(stage, FACE, stage.stage.config(max_light=80.0))
    assert record == {"light": 90.0}
    assert (check.stage, check.reason, check.passed, check.setting) == ("light", "bright", False, "light.max_light")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (MEASURED, "1 / 0", "ZeroDivisionError: division by zero"),
        (MEASURED, "float('nan')", "light is nan; what cannot be measured is None"),
        (MEASURED, "float('inf')", "light is inf"),
        (MEASURED, "np.float64(3)", "NameError"),
        (MEASURED, "face.face_THWC.mean()", "light is float64, not a number"),
        ('{"light": self.light}', '{"light": {"a": 1}}', "light is dict, not a number"),
        (MEASURED, "exit()", "SystemExit"),
        (MEASURED, "open('/no/such/file')", "FileNotFoundError"),
        (MEASURED, "face.face_THWC.fill(0)", "read-only"),
        ('{"light": self.light}', '["light"]', "its measurements are list, not a table"),
        ('{"light": self.light}', '{"Light it": 1}', "'Light it' is no name of a measurement"),
        ('{"light": self.light}', '{"would_reject": 1}', "is no name of a measurement"),
        ('reason="bright"', 'reason="dark"', "light/dark is none of its reasons"),
        ('Check(stage="light"', 'Check(stage="sync"', "sync/bright is none of its reasons"),
        ("threshold=config.max_light", "threshold=7", "bright compares with other than light.max_light"),
        ('setting="light.max_light"', 'setting="sync.min_confidence"', "no threshold"),
        ('operator="<="', 'operator="<"', "bright compares with other"),
        ("score=scores.light", "score=float('nan')", "the score of bright is nan"),
        ("return (Check(", "return Check(), (Check(", "TypeError"),
        ("return (Check(", "return [] and (Check(", "its checks are no tuple of Check"),
        ('{"light": self.light}', r'{"light": "\udcff"}', "light is no text of Unicode"),
        ('{"light": self.light}', '{"light": 10 ** 5000}', "light is a whole number of more than 64 bits"),
        ('{"light": self.light}', '{"light": [1] * 10_001}', "light has more than 10,000 values"),
        ('reason="bright"', 'reason=["bright"]', "none of its reasons"),
        ('setting="light.max_light"', "setting=5", "bright has the setting 5, no threshold"),
        ("threshold=config.max_light", "threshold=face", "NameError"),
        ("threshold=config.max_light", "threshold=__import__('numpy').zeros(2)", "compares with other"),
        (MEASURED, "(_ for _ in ()).throw(BaseException('a panic'))", "BaseException: a panic"),
        (MEASURED, r"(_ for _ in ()).throw(ValueError('\udcff\x1b'))", r"ValueError: \udcff\x1b"),
        (MEASURED, "(_ for _ in ()).throw(type('E', (Exception,), {'__str__': lambda e: 1 / 0})())", "E without words"),
    ],
)
def test_an_error_or_a_wrong_answer_is_a_fault_of_the_package(site: Path, old: str, new: str, fault: str) -> None:
    stage = added(site, old, new)
    with pytest.raises(PackageFaultError, match=r"^plugin-light 1\.5: ") as raised:
        measure_added(stage, FACE, stage.stage.config())
    assert fault in str(raised.value)
    failure = classify_failure("light", raised.value)
    assert (failure.stage, failure.error) == ("light", "package_fault")


def test_ctrl_c_within_a_stage_is_no_fault_of_the_package(site: Path) -> None:
    stage = added(site, MEASURED, "(_ for _ in ()).throw(KeyboardInterrupt())")
    with pytest.raises(KeyboardInterrupt):
        measure_added(stage, FACE, stage.stage.config())


def test_what_the_machine_lacks_fails_no_video(site: Path) -> None:
    stage = added(site, MEASURED, "__import__('no_such_package')")
    with pytest.raises(BrokenToolError, match=r"stage light of plugin-light 1\.5: .*no_such_package"):
        measure_added(stage, FACE, stage.stage.config())
    stage = added(site, MEASURED, "[].append(bytearray(10 ** 18))")
    with pytest.raises(MemoryError) as raised:
        measure_added(stage, FACE, stage.stage.config())
    with pytest.raises(MemoryShortageError):
        classify_failure("light", raised.value)


def test_a_worker_with_other_code_is_refused(site: Path) -> None:
    install(site, "light", STAGE_TEXT)
    identity = run_identity(load_recipe(None, ["light.every=2"]), EMBEDDED, ["s"])
    check_same_code(load_recipe(None, ["light.every=2"]), identity)
    set_version(site, "plugin-light", "1.6")
    with pytest.raises(OtherCodeError, match=r"has plugin-light 1\.6 .*and the run began with plugin-light: 1\.5"):
        check_same_code(load_recipe(None, ["light.every=2"]), identity)


@pytest.fixture(scope="module", name="run")
def _run(corpus: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Curate one video with a package's stage that rejects it, measured past that, and yield the run's folder."""
    folder = tmp_path_factory.mktemp("added")
    (folder / "in").mkdir()
    os.link(corpus.draw("studio/talk_30.mp4"), folder / "in/a.mp4")
    with installed_packages(folder / "site") as site:
        install(site, "light", STAGE_TEXT)
        assert main(command(folder, "run", "gates.score_all=1", "light.max_light=1")) == 0
        yield folder


def command(folder: Path, out: str, *settings: str) -> list[str]:
    settings = ("faces.backend=dlib", "sync.backend=envelope", "track.backend=dlib", "track.side_px=300", *settings)
    words = ["run", "--source", f"tv={folder}/in", "--out", str(folder / out), "--engine", "inline"]
    return [*words, *(word for setting in settings for word in ("--set", setting))]


def answer(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Any:
    capsys.readouterr()
    assert main([*map(str, words), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_ledger_audit_what_if_calibrate_and_explain_take_the_stage_in(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (decision, *_) = [each for each in table_to_decisions(RunFolder(run / "run").ledger()) if each.stage == "light"]
    assert (decision.status, decision.reason, decision.threshold) == ("rejected", "bright", 1.0)
    light = json.loads(decision.measurements)["light"]["light"]
    assert light == decision.score
    stages = list(dict.fromkeys(check.stage for check in decision.checks))
    assert stages[-2:] == ["light", "quality"], "it runs before quality, which was measured past the rejection"

    audit = answer(capsys, "audit", run / "run")
    assert next(iter(audit["sources"]["tv"]["reasons"])) == "light/bright"
    assert audit["backends"]["light"] == "plugin-light 1.5"
    what_if = answer(capsys, "what-if", run / "run", "--set", "light.max_light=250")
    assert what_if["thresholds"] == {"": {"light/bright": 250.0}}
    assert what_if["sources"]["tv"]["sampled_pass_spans"] == 1
    assert main(["what-if", str(run / "run"), "--set", "light.every=2"]) == 2
    assert "no check in this ledger uses it as a threshold" in capsys.readouterr().err
    calibrated = answer(capsys, "calibrate", run / "run", "--source", "tv", "--keep", "0.8", "--check", "light/bright")
    assert calibrated["proposals"][0]["setting"] == "light.max_light"
    (run / "truth.csv").write_text("file,start_s,stop_s,gate,truth\na.mp4,0.5,1,light/bright,bad\n")
    (gate,) = answer(capsys, "gates", run / "run", run / "truth.csv")["gates"]
    assert (gate["gate"], gate["bad"]) == ("light/bright", 1)
    (run / "truth.csv").write_text("file,start_s,stop_s,gate,truth\na.mp4,0.5,1,light/dark,bad\n")
    assert main(["gates", str(run / "run"), str(run / "truth.csv")]) == 2
    assert "gate 'light/dark' is none" in capsys.readouterr().err
    assert main(["explain", str(run / "run"), "a.mp4"]) == 0
    assert "FAILS  light/bright" in capsys.readouterr().out


def test_the_audit_page_has_the_stage_and_its_reason(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["audit", str(run / "run"), "--html", str(page)]) == 0
    text = page.read_text()
    assert "The face is too bright." in text
    assert "plugin-light 1.5" in text
    funnel = [text.index(f"<span>{stage}</span>") for stage in ("sync", "light", "quality")]
    assert funnel == sorted(funnel)


def test_a_run_is_not_continued_with_another_version_or_without_the_package(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(run, "run", "gates.score_all=1", "light.max_light=1")
    set_version(run / "site", "plugin-light", "1.6")
    assert main(words) == 2
    assert "versions.plugin-light: '1.5' -> '1.6'" in capsys.readouterr().err
    set_version(run / "site", "plugin-light", "1.5")
    points = next((run / "site").glob("*.dist-info/entry_points.txt"))
    text = points.read_text()
    points.write_text("")
    forget_packages()
    try:
        assert main(words) == 2
        assert "No installed package adds a stage of this name" in capsys.readouterr().err
        assert main(["audit", str(run / "run")]) == 0
        assert "light/bright" in capsys.readouterr().out
    finally:
        points.write_text(text)
        forget_packages()


def test_a_clip_is_the_same_whether_or_not_the_stage_measured_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(run, "with", "gates.light=measure", "light.max_light=1")) == 0
    assert main(command(run, "without")) == 0
    assert read_media(run / "with") == read_media(run / "without")
    (kept,) = [each for each in table_to_decisions(RunFolder(run / "with").ledger()) if each.status == "kept"]
    assert json.loads(kept.measurements)["light"]["would_reject"] == ["bright"]
    assert "light" not in {check.stage for check in kept.checks}


def read_media(folder: Path) -> dict[str, bytes]:
    """Return the pictures and sounds of a run's clips by name."""
    media = {}
    for path in sorted(folder.rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.name.endswith(".json"):
                    file = tar.extractfile(member)
                    assert file is not None
                    media[member.name] = file.read()
    assert media
    return media


def test_a_stage_that_always_fails_stops_the_run_and_another_folder_is_advised(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed_packages(tmp_path / "site") as site:
        install(site, "dark", STAGE_TEXT.replace(MEASURED, "float('nan')"))
        assert main(command(run, "failing", "dark.every=2")) == 2
        message = capsys.readouterr().err
        assert "dark/package_fault: plugin-dark 1.5: light is nan" in message
        assert "curate with another version of it, or without it, into another folder" in message
        assert main([*command(run, "failing", "dark.every=2"), "--max-fault-share", "1"]) == 0
    (decision, *_) = [each for each in table_to_decisions(RunFolder(run / "failing").ledger()) if each.error]
    assert (decision.status, decision.stage, decision.error) == ("failed", "dark", "package_fault")


@pytest.mark.slow
def test_workers_of_ray_find_the_stage(run: Path) -> None:
    words = command(run, "ray", "light.max_light=1")
    words[words.index("inline")] = "ray"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(run / "site"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "avf_curation.cli.main", *words, "--workers", "1"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "light" in {each.stage for each in table_to_decisions(RunFolder(run / "ray").ledger())}
