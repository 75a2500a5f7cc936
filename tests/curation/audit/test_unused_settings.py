"""A value that a run would not use is told when the run is planned, and what-if says so of a finished run."""

import inspect
import re
from pathlib import Path

import pytest
from avf_curation.audit.unused_settings import find_unsearched, find_unused, warn_about_unused_settings
from avf_curation.cli import what_if
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from support.curation_runs import EMBEDDED
from support.runs import make_run

BACKENDS = EMBEDDED.names()


def unused(*settings: str, sources: tuple[str, ...] = ("a", "b")) -> dict[str, str]:
    return dict(find_unused(load_recipe(None, settings), list(sources), BACKENDS))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (
            "sync.min_confidence=4",
            "not measured by this backend, sync=envelope; you may mean sync.envelope_min_confidence",
        ),
        ("sync.crop_scale=0.5", "not measured by this backend, sync=envelope"),
        ("silence.min_speech_share=0.5", "not measured by this backend, speech=none"),
        ("speaker.min_share=0.5", "not measured by this backend, speaker=none"),
        ("track.nms_iou=0.5", "not measured by this backend, track=dlib"),
        ("run.retinaface=retinaface_resnet50", "not measured by this backend, track=dlib"),
        ("scenes.content_threshold=30", "scenes.detectors does not name content"),
        ("clip.jpeg_quality=80", "clip.codec is h264"),
        ("track.min_present=0.5", "track.people is largest"),
        ("sources.b.sync.max_offset_frames=4", "not measured by this backend, sync=envelope; you may mean sync.envelo"),
    ],
)
def test_a_changed_value_without_effect_is_found(setting: str, reason: str) -> None:
    ((name, explained),) = unused(setting).items()
    assert name == setting.partition("=")[0]
    assert explained.startswith(reason)


def test_values_with_an_effect_and_default_values_are_not_found() -> None:
    assert unused("sync.envelope_min_confidence=2", "quality.min_sharpness=40", "sync.min_confidence=3.0") == {}
    assert unused("sources.c.sync.min_confidence=4") == {}, "of a source that the run does not have"
    skipped = ("faces.min_face_px=60", "sources.a.gates.faces=skip")
    assert unused(*skipped) == {}, "source b uses it"
    assert unused(*skipped, sources=("a",)) == {"faces.min_face_px": "gates.faces is skip"}


def test_a_search_that_takes_the_score_from_clips_is_told(caplog: pytest.LogCaptureFixture) -> None:
    recipe = load_recipe(None, ["sync.shifts=60", "sources.b.sync.shifts=15"])
    for backend, expected in (("learned", {"a": 7.2}), ("envelope", {"a": 7.2}), ("syncnet", {})):
        assert find_unsearched(recipe, ["a", "b"], {**BACKENDS, "sync": backend}) == expected
    assert find_unsearched(load_recipe(None, ["sync.shifts=60", "gates.sync=skip"]), ["a"], BACKENDS) == {}
    warn_about_unused_settings(recipe, ["a", "b"], BACKENDS)
    assert [record.getMessage() for record in caplog.records] == [
        "source a: clips shorter than 7.2 s have no score of sync, because of sync.shifts"
    ]


def test_values_of_the_recipe_of_pictures_are_nobodys_choice() -> None:
    recipe = load_recipe(None, ["quality.min_sharpness=30"], content="pictures")
    assert dict(find_unused(recipe, ["celeba"], BACKENDS)) == {}, "celeba skips the faces whose size that recipe sets"
    recipe = load_recipe(None, ["faces.min_face_px=50"], content="pictures")
    assert dict(find_unused(recipe, ["celeba"], BACKENDS)) == {"faces.min_face_px": "gates.faces is skip"}


@pytest.mark.parametrize("command", [("plan",), ("run", "--engine", "inline")])
def test_plan_and_run_warn_of_it(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp4").write_bytes(b"no video")
    (tmp_path / "mine.yaml").write_text("scenes:\n  hash_threshold: 0.5\n")
    words = ["--source", "s=in", "--out", "run", "--weights", "none", "--recipe", "mine.yaml"]
    assert main([*command, *words, "--set", "sync.min_confidence=4"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "no effect" in line]
    assert warnings == [
        "avf-curate: mine.yaml:2: scenes.hash_threshold has no effect: scenes.detectors does not name hash",
        "avf-curate: --set sync.min_confidence=4 has no effect: not measured by this backend, sync=learned; you may "
        "mean sync.learned_min_confidence",
    ]


def test_the_examples_of_what_if_work_on_a_default_install(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    pages = "".join(path.read_text() for path in (Path(__file__).parents[3] / "docs/guides").glob("*.md"))
    examples = re.findall(r"what-if RUN (--set [\w.=]+)", pages + inspect.getsource(what_if))
    assert len(examples) >= 2
    for example in examples:
        assert main(["what-if", str(run.root), *example.split()]) == 0


def test_what_if_answers_on_a_default_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    assert main(["what-if", str(run.root), "--set", "sync.min_confidence=4"]) == 0
    assert (
        "sync.min_confidence: 0 changes: not measured by this backend, sync=envelope; you may mean "
        "sync.envelope_min_confidence\n"
    ) in capsys.readouterr().out
