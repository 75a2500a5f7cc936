"""Every option of the three command lines that names a file or folder to write: what stands there of others stays.

`KINDS` and `FOLDERS` are the table of commands; a command with an output that stands in neither fails here.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_curation.cli.main import build_parser as build_curation
from avf_curation.demo.demo import frames_demo, labelled_demo, run_demo
from avf_curation.reports.data_card import DataCard, SourceCard, write_card
from avf_shards.cli.main import build_parser as build_shards
from avf_shards.errors import UserError
from avf_shards.packing.cut_kinds import CUT_COLUMNS
from avf_shards.system.own_files import FIGURE, PAGE, PAGE_MARK, require_replaceable
from avf_training.cli.main import build_parser as build_training
from avf_training.cli.main import main as train
from avf_training.framewise.ensemble.fold_table import FoldSubject, draw_fold_table, write_fold_table
from avf_training.framewise.ensemble.scenes import SceneChoice, write_scenes
from avf_training.trainer.figures import load_pyplot, save_figure
from avf_training.trainer.run_folder import freeze_identity

SUBMISSION = "image_location,valence,arousal\nv/00001.jpg,0.1,0.2\n"
SUBRIP = "1\n00:00:00,000 --> 00:00:01,000\nperson 1: joy 0.71\n"
#: Program, command and option -> endings that the file may have, and the beginning of one that the command wrote.
KINDS = {
    ("avf-curate", "audit", "--html"): {".html": f"<!doctype html>{PAGE_MARK}"},
    ("avf-curate", "learn-sync", "--out"): {".safetensors": '{"__metadata__":{"sync_head":"{}"}}'},
    ("avf-curate", "explain", "--picture"): {".png": None},  # figures have a test of their own
    ("avf-shards", "cuts", "--out"): {
        ".csv": f"{','.join(CUT_COLUMNS)}\n",
        ".jsonl": '{"av_offset_ms": 0, "crop_px": null, "key": "k", "stop_s": 2.0}\n',
    },
    ("avf-train", "frame-folds", "--out"): {
        ".json": '{"folds": 2, "rows": [], "schema_version": 1, "seed": 0, "task": "va"}'
    },
    ("avf-train", "frame-folds", "--scenes"): {".csv": "video,scene,reason\n"},
    ("avf-train", "submission", "--out"): {".txt": SUBMISSION},
    ("avf-train", "score-files", "--out"): {".txt": "a/real.mp4;0.250000\n"},
    ("avf-train", "predict", "--out"): {
        ".png": None,
        ".csv": "source,video,person,start_s,stop_s,best\n",
        ".json": '[{"source": "s", "video_id": "v", "windows": []}]',
        ".srt": SUBRIP,
        ".vtt": "WEBVTT\n\nNOTE The label of a time is the class with the highest mean probability of the windows that "
        "cover it.\n",
        ".eaf": '<ANNOTATION_DOCUMENT AUTHOR="avf-train predict">',
    },
    ("avf-train", "embed", "--out"): {".parquet": None},
    ("avf-train", "export", "--out"): {".pt2": None, ".onnx": None},  # a new file, always
    ("avf-train", "reconstruct", "--out"): {".svg": None},
}
#: Program, command and option of what is no single file, and how the files of others are safe.
FOLDERS = {
    ("avf-curate", "run", "--out"): "files of a run have names of their own below RUN/run, RUN/log and RUN/attempt-N",
    ("avf-curate", "plan", "--out"): "as run",
    ("avf-curate", "estimate", "--out"): "as run",
    ("avf-curate", "clip", "--out"): "as run and pack, in OUT/run and OUT/shards",
    ("avf-curate", "demo", "--out"): "each file is known by its content",
    ("avf-curate", "data-card", "--out"): "each file is known by its content",
    ("avf-curate", "hybrid", "--out"): "a folder of shards or an empty one",
    ("avf-curate", "review", "--out"): "a new or empty folder",
    ("avf-curate", "fetch", "--out"): "a file is published under a free name, and a list of others is refused",
    ("avf-curate", "forge", "--out"): "an empty folder, or one of the same call",
    ("avf-curate", "export", "--fiftyone"): "a new or empty folder",
    ("avf-shards", "pack", "--out"): "a folder of shards or an empty one",
    ("avf-shards", "pull", "--out"): "a new folder",
    ("avf-shards", "show", "--extract"): "members have the key of their clip",
    ("avf-train", "convert", "--out"): "a new file or folder",
    ("avf-train", "pull", "--out"): "a new folder",
    ("avf-train", "parity", "--page"): "sections of a page are filled, and the rest stays",
    ("avf-train", "study", "--out"): "each file is known by its content, before the first run",
    ("avf-train", "report-frames", "--out"): "each file is known by its content",
    ("avf-train", "report-detection", "--out"): "each file is known by its content",
    ("avf-train", "extract", "--out"): "a track is written once",
    ("avf-train", "frames", "--out"): "a file of others is refused, before the first input is read",
    ("avf-train", "frame-labels", "--out"): "a label track is written once",
    ("avf-train", "predict-frames", "--out"): "a track is written once",
    ("avf-train", "ensemble-frames", "--out"): "a track is written once",
    **{
        ("avf-train", stage, "--out"): "a run's folder, or none of its names"
        for stage in ("pretrain", "posttrain", "finetune", "pretrain-images", "finetune-images", "train-frames",
                      "train-speech")
    },
    **{
        ("avf-train", name, "--keep-clips"): "as clip"
        for name in ("predict", "score-files", "embed", "frames", "reconstruct", "extract")
    },
}  # fmt: skip
CARD = DataCard(
    name="c", digest="d", sources={"s": SourceCard()}, backends={}, fingerprints=(), shards=(("s.tar", "a", 1),),
    inputs_sha256="i", deleted=0,
)  # fmt: skip
PARSERS = {"avf-curate": build_curation, "avf-shards": build_shards, "avf-train": build_training}
_WRITING = ("output_file", "output_folder", "own_file", "own_png", "ending_of", "add_json_option")


def list_outputs() -> Iterator[tuple[str, str, str]]:
    """Yield program, command and option of each option whose type is that of something to write."""
    for program, build in PARSERS.items():
        (commands,) = (action for action in build()._actions if isinstance(action, argparse._SubParsersAction))
        for command, parser in commands.choices.items():
            for action in parser._actions:
                written = any(word in getattr(action.type, "__qualname__", "") for word in _WRITING)
                if written or "--out" in action.option_strings:
                    yield program, command, action.option_strings[0]


def test_each_output_of_each_command_is_in_the_table() -> None:
    outputs = {output for output in list_outputs() if output[2] != "--json"}
    assert outputs == KINDS.keys() | FOLDERS.keys()


def _type_of(output: tuple[str, str, str]) -> object:
    program, command, option = output
    (commands,) = (a for a in PARSERS[program]()._actions if isinstance(a, argparse._SubParsersAction))
    (action,) = (a for a in commands.choices[command]._actions if option in a.option_strings)
    return action.type


@pytest.mark.parametrize(
    ("output", "ending"), [(output, ending) for output, endings in KINDS.items() for ending in endings]
)
def test_a_file_of_others_is_refused_and_one_of_the_command_is_not(
    output: tuple[str, str, str], ending: str, tmp_path: Path
) -> None:
    check, path = _type_of(output), tmp_path / f"x{ending}"
    assert callable(check)
    assert check(str(path)) == path, "nothing is there"
    path.touch()
    assert check(str(path)) == path, "an empty file holds nothing"
    others = [
        "my notes\n",
        '{"schema_version": 1}',
        "\x00\xff",
        "1\n00:00:00,000 --> 00:00:01,000\nGood morning!\n",
        "words about avf-foundry",
    ]
    for text in (text for kinds in KINDS.values() for text in kinds.values() if text):
        if text not in KINDS[output].values():
            others.append(text)
    for text in others:
        path.write_text(text)
        with pytest.raises(argparse.ArgumentTypeError, match=r"is there already and is not .+; name another file"):
            check(str(path))
        assert path.read_text() == text
    own = KINDS[output][ending]
    if own is not None:
        path.write_text(own)
        assert check(str(path)) == path


@pytest.mark.parametrize("output", [output for output in list_outputs() if output[2] == "--json"])
def test_an_answer_as_json_replaces_answers_alone(output: tuple[str, str, str], tmp_path: Path) -> None:
    check, path = _type_of(output), tmp_path / "package.json"
    assert callable(check)
    assert check("-") == "-"
    for text in ('{\n  "name": "mine"\n}\n', '{"name": "mine"}', "video", "[1, 2]"):
        path.write_text(text)
        with pytest.raises(argparse.ArgumentTypeError, match="is not JSON that an option --json wrote"):
            check(str(path))
    path.write_text(json.dumps({"a": [1.5, "ü"]}, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert check(str(path)) == str(path)


def test_an_elan_document_that_a_person_has_saved_is_not_replaced(tmp_path: Path) -> None:
    check, path = _type_of(("avf-train", "predict", "--out")), tmp_path / "talk.eaf"
    assert callable(check)
    path.write_text('<ANNOTATION_DOCUMENT AUTHOR="avf-train predict"><PROPERTY NAME="URN">urn:x</PROPERTY>')
    with pytest.raises(argparse.ArgumentTypeError, match="is not an ELAN document as avf-train wrote it"):
        check(str(path))


@pytest.mark.parametrize("ending", [".png", ".jpg", ".pdf", ".svg"])
def test_figures_are_known_by_their_metadata(ending: str, tmp_path: Path) -> None:
    pyplot = load_pyplot()
    figure, axis = pyplot.subplots()
    axis.plot([1, 2])
    own, other = tmp_path / f"own{ending}", tmp_path / f"other{ending}"
    save_figure(figure, own, ending)
    axis.set_title("avf-foundry")
    figure.savefig(other)
    pyplot.close(figure)
    require_replaceable(own, FIGURE)
    with other.open("ab") as file:
        file.write(b"avf-foundry")
    with pytest.raises(UserError, match="is not a figure of this program"):
        require_replaceable(other, FIGURE)


def test_a_folder_in_the_way_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder, in the way of a file of this name; move it away"):
        require_replaceable(tmp_path, PAGE)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "avf-train submission --task va --predictions p --sample s --out x --json ./x",
            "--json: .*written by --out",
        ),
        ("avf-train submission --task va --predictions p --sample x --out x", "--out: .*is the file of --sample"),
        ("avf-train frame-folds l --task va --out x --scenes x", "--scenes: .*written by --out"),
        ("avf-train predict v --model m --out x.png --out x.png", "--out: .*written by --out"),
        ("avf-curate audit r --html link --json x", "--json: .*written by --html"),
    ],
)
def test_two_options_name_no_file_in_common(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("x")
    program, *words = command.split()
    with pytest.raises(SystemExit) as stop:
        PARSERS[program]().parse_args(words)
    assert stop.value.code == 2
    assert re.search(f"error: argument {message}; name another file", capsys.readouterr().err)


def test_two_options_may_name_a_device() -> None:
    options = PARSERS["avf-curate"]().parse_args(["audit", "r", "--html", "/dev/null", "--json", "/dev/null"])
    assert options.json == "/dev/null"


def test_what_is_written_again_is_replaced(tmp_path: Path) -> None:
    subjects = [FoldSubject(source="s", video=name, person=0, group=name, frames=9) for name in ("a", "b")]
    for seed in (0, 1):
        write_fold_table(tmp_path / "folds.json", draw_fold_table("va", subjects, folds=2, seed=seed))
        write_scenes(tmp_path / "scenes.csv", {"a": SceneChoice(scene="other", reason="r")})
    (tmp_path / "folds.json").write_text('{"folds": 5}')
    with pytest.raises(UserError, match=r"folds\.json: is there already and is not a table of folds"):
        write_fold_table(tmp_path / "folds.json", draw_fold_table("va", subjects, folds=2, seed=0))


@pytest.mark.parametrize("name", ["checkpoints", "model", "metrics.jsonl", "result.json", "learned.parquet"])
def test_a_run_takes_no_folder_with_files_of_its_names(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name}: is there already, and .* holds no run; use another folder"):
        freeze_identity(tmp_path, {"recipe": {}}, 0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_demo_leaves_a_recipe_that_was_edited_and_the_report_of_others(tmp_path: Path) -> None:
    demo = labelled_demo()
    (name,) = list(demo.files)[:1]
    (tmp_path / name).write_text(demo.files[name] + "# mine\n")
    with pytest.raises(UserError, match="is not the demo's, or was edited"):
        run_demo(tmp_path, "inline", 1, demo)
    (tmp_path / "report.html").write_text("<title>mine</title>")
    with pytest.raises(UserError, match=r"report\.html: is there already and is not a page of this program"):
        run_demo(tmp_path, "inline", 1, frames_demo())
    assert (tmp_path / "report.html").read_text() == "<title>mine</title>"


@pytest.mark.parametrize("name", ["DATA_CARD.md", "croissant.json"])
def test_a_data_card_leaves_a_card_of_others(name: str, tmp_path: Path) -> None:
    text = '{"@context": {}, "recordSet": [{"@id": "default"}]}' if name.endswith("json") else "# My corpus\n"
    (tmp_path / name).write_text(text)
    for _ in range(2):
        write_card(CARD, tmp_path / "new", None)  # the second in place of the first
    with pytest.raises(UserError, match=f"{name}: is there already and is not "):
        write_card(CARD, tmp_path, None)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


@pytest.mark.parametrize("name", ["report.html", "study.json"])
def test_a_study_refuses_before_its_first_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert train(["study", "it_learns", "--shards", "s", "--unlabelled", "u", "--out", str(tmp_path)]) == 2
    assert f"{name}: is there already and is not " in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


def test_pages_say_who_wrote_them(tmp_path: Path) -> None:
    from avf_shards.pages.render import make_page_environment

    (tmp_path / "p.html").write_text(
        '{% extends "base.html" %}{% block title %}t{% endblock %}{% block meta %}{% endblock %}'
        "{% block contents %}{% endblock %}{% block main %}{% endblock %}"
    )
    page = tmp_path / "page.html"
    page.write_text(make_page_environment(tmp_path).get_template("p.html").render())
    require_replaceable(page, PAGE)
