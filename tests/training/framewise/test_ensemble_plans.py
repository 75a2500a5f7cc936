"""What is wrong with a plan of an ensemble, or with a table of folds, is told before anything is written."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.framewise.combination.alignment import align_tracks
from avf_training.framewise.combination.plan import load_plan
from avf_training.framewise.combination.record import read_record
from avf_training.framewise.ensemble.fold_table import FoldRow, FoldTable, read_fold_table, write_fold_table
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.training.frame_recipe import FrameRecipe
from avf_training.framewise.training.labelled_videos import read_labelled_videos
from support.frame_ensembles import write_plan
from support.frame_predictions import (
    SOURCE,
    make_prediction,
    write_labels,
)

PLANS = [
    ({"members": []}, r"p\.yaml:5: EnsemblePlan: members must not be empty"),
    ({"task": "joy"}, r"p\.yaml:3: task: 'joy' is not one of"),
    ({"schema": "x"}, r"p\.yaml:1: EnsemblePlan: schema 'x' must be 'avf-foundry frame ensemble plan'"),
    ({"schema_version": 9}, r"p\.yaml:2: EnsemblePlan: schema_version 9 is none that this program understands, 1"),
    ({"members": ["a", "a"]}, "a is listed twice"),
    ({"members": ["together"]}, "is that of a member too"),
    ({"members": [{"name": "a", "fold": 1}]}, "folds: missing, and a member names a fold"),
    ({"members": [{"name": "a", "fold": -1}]}, "fold -1 must be 1 or above"),
    ({"members": [{"name": "a", "weight": 0}]}, "weight 0 must be above 0"),
    ({"members": [{"name": "a", "weights": 2}]}, "did you mean 'weight'"),
    ({"members": [{"name": "a", "scene": "reaction"}]}, "nothing answers other videos"),
    ({"method": {"kind": "vote"}}, "vote needs classes"),
    ({"method": {"kind": "dirichlet", "matrices": 0}}, "matrices 0 must be at least 1"),
    ({"method": {"kind": "dirichlet"}, "members": [{"name": "a", "weight": 2}]}, "a weight is of the method mean"),
    ({"task": "au", "method": {"kind": "forest"}}, "forest is of va and expr"),
    ({"task": "au", "method": {"kind": "vote", "ties": "lowest"}}, "ties lowest are not of au"),
    ({"smoothing": {"kind": "gaussian", "sigma_frames": -1}}, "sigma -1 must lie between 0 and 1000 frames"),
    ({"smoothing": {"kind": "hamming", "edges": "reflect"}}, "edges reflect is for the Gaussian"),
    ({"audio_entropy_nats": 1.8}, "audio_entropy_nats is of expr"),
    ({"options": {"smoothing_window": "wide"}}, "protocol: smoothing_window: 'wide'"),
]


@pytest.mark.parametrize(("fields", "message"), PLANS)
def test_a_bad_plan_is_told_with_its_line(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    plan = write_plan(tmp_path / "p.yaml", **({"task": "va", "members": ["a", "b"]} | fields))
    with pytest.raises(UserError, match=message):
        load_plan(plan)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\xff", r"p\.yaml: not a plan file \(.*utf-8"),
        (b"", r"p\.yaml: schema_version: missing"),
        (b"[1, 2]", r"p\.yaml: a plan is a table of settings, this is list"),
        (b"a: {b", r"p\.yaml:1: not a plan file \(while parsing"),
    ],
)
def test_what_is_no_plan_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_plan(tmp_path / "p.yaml")


def test_all_faults_of_a_plan_are_told_at_once(tmp_path: Path) -> None:
    plan = write_plan(
        tmp_path / "p.yaml",
        "va",
        [{"name": "a/b", "weight": -1}],
        smoothing={"kind": "none", "sgima": 1},
        frames="some",
    )
    with pytest.raises(UserError) as raised:
        load_plan(plan)
    assert len(str(raised.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("fields", "labels", "message"),
    [
        ({"members": ["nono"]}, True, "has no predictions of 'nono'; it has those of a_au"),
        ({"members": ["a_expr"]}, True, "has predictions of expr, not of va"),
        ({"smoothing": {"kind": "gaussian"}}, False, "needs labels to choose the smoothing"),
        ({"method": {"kind": "dirichlet"}}, False, "--labels: missing, and the plan needs labels to fit dirichlet on"),
        ({"folds": "nono.json"}, True, "nono.json: no such file; `avf-train frame-folds` writes one"),
        (
            {"members": [{"name": "a_va", "trained_on": "all"}], "smoothing": {"kind": "gaussian"}},
            True,
            "no video outside the set test is labelled, predicted and new to a member, to choose the smoothing on",
        ),
    ],
)  # fmt: skip
def test_what_a_plan_cannot_do_is_told_before_anything_is_written(
    corpus: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], labels: bool, message: str
) -> None:
    plan = write_plan(corpus / "p.yaml", **({"task": "va", "members": ["a_va", "b_va"]} | fields))
    words = ["ensemble-frames", str(plan), "--predictions", str(corpus / "P"), "--out", str(corpus / "OUT")]
    assert main([*words, "--labels", str(corpus / "L")] if labels else words) == 2
    assert message in caplog.text
    assert not (corpus / "OUT").exists()


def test_frame_rates_that_disagree_and_a_fitted_member_without_a_video_are_named(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track = make_prediction("a", "va", "v", np.zeros((3, 2)))
    with pytest.raises(UserError, match="25 frames a second in the b track of aff_wild2/v, and 30 in a"):
        align_tracks(find_task("va"), [track, make_prediction("b", "va", "v", np.zeros((3, 2)), fps=25)], "every")
    (corpus / "P/b_va" / SOURCE / "10.parquet").unlink()
    plan = write_plan(corpus / "p.yaml", "va", ["a_va", "b_va"], method={"kind": "dirichlet"})
    words = ["ensemble-frames", str(plan), "--predictions", str(corpus / "P"), "--out", str(corpus / "OUT")]
    assert main([*words, "--labels", str(corpus / "L")]) == 2
    assert "aff_wild2/10: no predictions of b_va, and the method dirichlet needs those of every member" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": []}, "rows must not be empty"),
        ({"folds": 1}, "fold 2 of b"),
        ({"seed": "x"}, "seed: expected a whole number"),
        ({"extra": 1}, "extra: unknown setting"),
    ],
)
def test_a_wrong_table_of_folds_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = tuple(
        FoldRow(source=SOURCE, video=video, group=video, frames=10, fold=fold) for fold, video in enumerate("ab", 1)
    )
    table = FoldTable(task="va", seed=0, folds=2, rows=rows)
    write_fold_table(tmp_path / "f.json", table)
    assert read_fold_table(tmp_path / "f.json") == table
    values = json.loads((tmp_path / "f.json").read_text())
    (tmp_path / "f.json").write_text(json.dumps(values | change))
    with pytest.raises(UserError, match=message) as raised:
        read_fold_table(tmp_path / "f.json")
    assert str(raised.value).startswith(f"{tmp_path / 'f.json'}: ")


def test_a_group_in_two_folds_is_no_table() -> None:
    rows = tuple(FoldRow(source=SOURCE, video=v, group="g", frames=1, fold=n) for n, v in enumerate("ab", 1))
    with pytest.raises(ValueError, match="group g is in several folds"):
        FoldTable(task="va", seed=0, folds=2, rows=rows)


def test_the_table_has_the_folds_that_training_draws(tmp_path: Path) -> None:
    """Else a member would answer, as new, videos that it was trained on."""
    for number in range(8):
        split: Any = ("train", "validation", None)[number % 3]
        write_labels(tmp_path / "L", "va", f"{number}_left", split, group=str(number))
        write_labels(tmp_path / "L", "va", f"{number}_right", split, group=str(number))
    write_labels(tmp_path / "L", "va", "unseen", "test")
    words = ["frame-folds", str(tmp_path / "L"), "--task", "va", "--seed", "3", "--out", str(tmp_path / "folds.json")]
    assert main(words) == 0
    table = read_fold_table(tmp_path / "folds.json")
    # The choice looks at labels alone.
    reader: Any = SimpleNamespace(read=lambda subject: subject, unlabelled=lambda subjects: (), folders=list)
    for fold in range(1, 6):
        recipe = FrameRecipe(model="temporal", visual=("vit",), fold=fold, fold_seed=3)
        videos = read_labelled_videos(tmp_path / "L", find_task("va"), recipe, reader)
        held_out = {row.video for row in table.rows if row.fold == fold}
        assert {each.labels.subject.video_id for each in videos.validation} == held_out
        assert {each.labels.subject.video_id for each in videos.training} == {
            row.video for row in table.rows
        } - held_out


def test_a_record_of_another_version_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text('{"schema_version": 1, "name": "n", "new": 1}')
    with pytest.raises(
        UserError, match=r"ensemble\.json: .*, and \d+ faults more; it is damaged, or another version wrote it; remove"
    ):
        read_record(tmp_path)
