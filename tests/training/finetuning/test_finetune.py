"""Fine-tuning of a fold: it learns, repeats bit for bit, goes on after a kill, and says what is wrong with its data."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from avf_shards.errors import UserError
from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.finetune import load_best_model, train_stage
from avf_training.finetuning.initialization import start_model
from avf_training.finetuning.model_selection import BestCheckpointTracker, read_validation, select_epoch
from avf_training.finetuning.reevaluate import reevaluate_run
from avf_training.models.classifier import Classifier
from avf_training.tasks import task as task_module
from avf_training.tasks.labelled_clips import read_labelled_clips
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, fold_task, hybrid_task
from support.labelled import LABELS, labelled_shards, row, takes

STORAGE = StorageConfig()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_shards(tmp_path_factory.mktemp("lab"), {"lab": takes(6, 3), "more": takes(3, 2, first=50)})


def small(*more: str, seed: int = 0) -> FinetuneRecipe:
    sets = ["batch=6", "micro_batch=6", "workers=0", "epochs=8", "evaluate_every=2", "threads=1", f"seed={seed}"]
    return load_finetune_recipe("finetune", "nano", [*sets, "validation_share=0.2", *more])


def task(shards: Path, recipe: FinetuneRecipe, fold: int = 1, **changes: object) -> Task:
    return fold_task(
        row(**changes), LabelledShards([shards], STORAGE), fold, recipe.modalities, recipe.validation_share
    )


def answers(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((out / "predictions").glob("*.json"))}


@pytest.fixture(scope="module")
def finished(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    recipe = small()
    train_stage(recipe, task(shards, recipe), None, out)
    return out


def test_a_fold_is_learned_and_told_by_three_protocols(finished: Path, shards: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert set(result["protocols"]) == {"validation", "test_best", "last"}
    assert result["train"] + result["validation"] + result["test"] == 36
    assert result["protocols"]["last"]["scores"]["WAR"]["value"] > 0.9
    low, high = result["protocols"]["last"]["scores"]["UAR"]["interval"]
    assert 0.5 < low <= high <= 1
    rows = read_validation(finished)
    assert [one["epoch"] for one in rows] == [2, 4, 6, 8]
    chosen = result["protocols"]["test_best"]["step"]
    assert chosen == select_epoch(rows, "test_best", "WAR")[0]
    model = Classifier.from_pretrained(load_best_model(finished, "validation"))
    assert model.meaning.names == LABELS


def test_nobody_is_in_two_parts(finished: Path, shards: Path) -> None:
    told = json.loads((finished / "run.json").read_text())
    subject = {clip.key: clip.subject for clip in read_labelled_clips(LabelledShards([shards], STORAGE), row()).clips}
    parts = [{subject[key] for key in told[name]} for name in ("train", "validation", "test")]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts)) == 6


@pytest.mark.slow
def test_the_same_again_bit_for_bit(finished: Path, shards: Path, tmp_path: Path) -> None:
    recipe = small()
    train_stage(recipe, task(shards, recipe), None, tmp_path / "again")
    assert answers(tmp_path / "again") == answers(finished)
    assert (tmp_path / "again/validation.jsonl").read_text() == (finished / "validation.jsonl").read_text()
    other = small(seed=1)
    train_stage(other, task(shards, other), None, tmp_path / "other")
    assert answers(tmp_path / "other") != answers(finished)


@pytest.mark.slow
def test_killed_in_an_epoch_it_goes_on_to_the_same_end(
    finished: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, looked = small(), BestCheckpointTracker.look

    def dies(self: BestCheckpointTracker, step: int) -> object:
        if len(read_validation(self.out)) == 2:
            raise KeyboardInterrupt
        return looked(self, step)

    monkeypatch.setattr(BestCheckpointTracker, "look", dies)
    with pytest.raises(KeyboardInterrupt):
        train_stage(recipe, task(shards, recipe), None, tmp_path / "cut")
    assert not (tmp_path / "cut/result.json").exists()
    monkeypatch.undo()
    train_stage(recipe, task(shards, recipe), None, tmp_path / "cut")
    assert answers(tmp_path / "cut") == answers(finished)
    assert (tmp_path / "cut/validation.jsonl").read_text() == (finished / "validation.jsonl").read_text()


def test_a_finished_run_is_tested_again_from_its_folder(finished: Path, shards: Path, tmp_path: Path) -> None:
    shelf = LabelledShards([shards], STORAGE)
    for protocol in ("validation", "test_best", "last"):
        assert reevaluate_run(finished, shelf, protocol, None, "cpu")["same"] is True
    assert reevaluate_run(finished, shelf, "last", 1, "cpu")["same"] is None
    spoiled = json.loads((finished / "predictions/last.json").read_text())
    spoiled["scores"][0][0] += 1e-9
    kept = (finished / "predictions/last.json").read_text()
    (finished / "predictions/last.json").write_text(json.dumps(spoiled))
    assert reevaluate_run(finished, shelf, "last", None, "cpu")["same"] is False
    (finished / "predictions/last.json").write_text(kept)


@pytest.mark.slow
def test_post_pre_training_for_a_fold_and_fine_tuning_from_it(shards: Path, tmp_path: Path) -> None:
    recipe, shelf = small("epochs=2"), LabelledShards([shards], STORAGE)
    more = row("more")
    hybrid = hybrid_task(row(), shelf, 1, modalities="av", validation_share=0.2, joining=[more])
    tested = set(task(shards, recipe).test)
    assert set(hybrid.data.labels) == {"happy", "sadness"}
    assert not tested & set(hybrid.truth)
    assert any(key.startswith("more") for key in hybrid.train)
    assert hybrid.told["guarded_against"] == len(tested)
    train_stage(recipe, hybrid, None, tmp_path / "psi")
    train_stage(recipe, task(shards, recipe), tmp_path / "psi", tmp_path / "ft")
    one, other = (Classifier.from_pretrained(load_best_model(tmp_path / name, "last")) for name in ("psi", "ft"))
    assert one.head.weight.shape == other.head.weight.shape
    assert json.loads((tmp_path / "ft/run.json").read_text())["start"] is not None


def test_another_release_of_a_test_clip_stays_out_and_a_leak_stops_the_stage(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, data, more = LabelledShards([shards], STORAGE), row(), row("more")
    apart = hybrid_task(data, shelf, 1, modalities="av", validation_share=0.0, joining=[more])
    for source in ("lab", "more"):
        monkeypatch.setitem(task_module._SAME_RECORDINGS, source, "two releases")
    together = hybrid_task(data, shelf, 1, modalities="av", validation_share=0.0, joining=[more])
    tested = {read_labelled_clips(shelf, data).video_ids[key] for key in task(shards, small()).test}
    videos = read_labelled_clips(shelf, more).video_ids
    assert {videos[key] for key in apart.truth if key in videos} & tested, "names of two corpora mean nothing"
    assert not {videos[key] for key in together.truth if key in videos} & tested
    monkeypatch.setattr(task_module, "are_related", lambda sample, test: False)
    with pytest.raises(UserError, match=r"more-\S+: the same recording \(\d+.mp4\) is in the test set of lab, fold 1"):
        hybrid_task(data, shelf, 1, modalities="av", validation_share=0.0, joining=[more])


def test_a_start_that_saw_the_test_clips_is_refused(finished: Path, shards: Path, tmp_path: Path) -> None:
    recipe = small()
    for start in (finished, finished / "best/validation", finished / "model"):
        with pytest.raises(UserError, match=r"was trained on lab-\S+ and \d+ more clips that lab/fold_2 tests"):
            train_stage(recipe, task(shards, recipe, fold=2), start, tmp_path / "ft", "cpu")
    assert not (tmp_path / "ft").exists()


def test_no_seed_moves_who_is_held_out_and_the_hybrid_leaves_them_out(shards: Path) -> None:
    shelf = LabelledShards([shards], STORAGE)
    parts = {share: fold_task(row(), shelf, 1, "av", share).validation for share in (0.05, 0.1, 0.4)}
    assert set(parts[0.05]) <= set(parts[0.1]) <= set(parts[0.4])
    for share in (0.05, 0.3):
        hybrid = hybrid_task(row(), shelf, 1, modalities="av", validation_share=share, joining=[row("more")])
        assert not {*parts[0.1], *fold_task(row(), shelf, 1, "av", 0.1).test} & set(hybrid.truth)
    assert task(shards, small(seed=1)).identity() == task(shards, small(seed=2)).identity()


@pytest.mark.slow
@pytest.mark.parametrize("modalities", ["a", "v"])
def test_one_modality(shards: Path, tmp_path: Path, modalities: str) -> None:
    recipe = small("epochs=3", f"modalities={modalities}")
    train_stage(recipe, task(shards, recipe), None, tmp_path / "run")
    names = dict(Classifier.from_pretrained(tmp_path / "run/model").named_parameters())
    assert any(name.startswith("encoder_video") for name in names) == (modalities == "v")
    assert any(name.startswith("encoder_audio") for name in names) == (modalities == "a")


@pytest.mark.slow
def test_dimensions_are_regressed_inside_their_range(tmp_path: Path) -> None:
    rows = [{"valence": str(v), "subject": f"p{n}"} for n in range(6) for v in (-1.5, -1.0, 1.0, 1.5)]
    shards = labelled_shards(tmp_path, {"lab": rows})
    recipe = small("epochs=6")
    data = row(task="dimensions", labels=(), dimensions=("valence",), range=(-2.0, 2.0), metrics=("PCC", "CCC"))
    made = fold_task(data, LabelledShards([shards], STORAGE), 1, "av", 0.0)
    train_stage(replace(recipe, validation_share=0.0), made, None, tmp_path / "run")
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert set(result["protocols"]) == {"test_best", "last"}, "nothing was held out, so nothing could be chosen by it"
    assert result["protocols"]["last"]["scores"]["PCC valence"]["value"] > 0.8
    told = json.loads((tmp_path / "run/predictions/last.json").read_text())
    assert all(-2 <= value <= 2 for (value,) in told["scores"])


def test_a_start_of_another_size_names_the_tensor(finished: Path, shards: Path, tmp_path: Path) -> None:
    recipe = small("variant={video: {width: 48, heads: 3}, audio: {width: 48, heads: 3}}")
    alone = shutil.copytree(start_model(finished), tmp_path / "a model alone")  # tells nothing of what it has seen
    with pytest.raises(
        UserError,
        match=r"of another size: encoder_audio\.blocks\.0\.gather_attn\S+ is \(192, 96\), this model's is \(96, 48\)",
    ):
        train_stage(recipe, task(shards, recipe), alone, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    with pytest.raises(UserError, match="holds no saved model and no finished run"):
        train_stage(small(), task(shards, small()), tmp_path, tmp_path / "x")


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (
            [{"label": "up", "subject": "a"}],
            {},
            r"unknown label 'up' of lab; known here: left, right \(1 such",
        ),
        ([{"label": "lefr", "subject": "a"}], {}, "unknown label 'lefr' of lab; did you mean 'left'"),
        (takes(4), {"labels": (*LABELS, "none")}, "fold 1: no clip to train on for none"),
        ([{**one, "mute": "yes"} for one in takes(4)], {}, "no clip has sound .* take modalities v"),
        (
            [{**one, "fold": "1"} for one in takes(4)],
            {"split": "official", "scheme": "own"},
            "fold 1 has no clip to train",
        ),
        (
            [{**one, "fold": str(n % 2 + 1)} for n, one in enumerate(takes(4))],
            {"split": "official", "scheme": "own"},
            "fold 1: subject p3 is trained on .* and tested",
        ),
        (takes(4), {"split": "official", "scheme": "theirs"}, "its record has no fold 'theirs' of lab"),
        (takes(4), {"source": "elsewhere"}, r"no clip of source 'elsewhere' in these shards; they hold lab \(16\)"),
        (
            [{"valence": "high", "subject": "a"}],
            {"task": "dimensions", "labels": (), "dimensions": ("valence",)},
            "its valence is 'high', not a number",
        ),
    ],
)
def test_bad_labels_name_the_clip_and_the_rule(
    tmp_path: Path, rows: list[dict[str, str]], changes: dict[str, object], said: str
) -> None:
    shards = labelled_shards(tmp_path, {"lab": rows})
    with pytest.raises(UserError, match=said):
        task(shards, small(), **changes)


@pytest.mark.slow
def test_two_processes_train_and_test_as_one(shards: Path, tmp_path: Path) -> None:
    """Each answers a part of the test clips; both leave with all of them."""
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump(_plain(asdict(row()))))
    sets = ["batch=6", "micro_batch=3", "workers=0", "epochs=2", "threads=1", "validation_share=0.2"]
    argv = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "--no-python"]
    argv += [str(Path(sys.executable).with_name("avf-train")), "finetune", "--dataset", str(tmp_path / "lab.yaml")]
    argv += ["--shards", str(shards), "--recipe", "nano", "--device", "cpu", "--out", str(tmp_path / "run")]
    argv += [part for one in sets for part in ("--set", one)]
    subprocess.run(argv, check=True, timeout=400, capture_output=True)
    run = json.loads((tmp_path / "run/run.json").read_text())
    told = json.loads((tmp_path / "run/predictions/last.json").read_text())
    assert sorted(told["keys"]) == sorted(run["test"])
    assert set(json.loads((tmp_path / "run/result.json").read_text())["protocols"]) == {
        "validation",
        "test_best",
        "last",
    }


def _plain(values: object) -> object:
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return [_plain(one) for one in values] if isinstance(values, tuple) else values


def test_another_setting_or_another_fold_is_another_run(finished: Path, shards: Path) -> None:
    recipe = small("smoothing=0.2")
    with pytest.raises(UserError, match=r"another folder\n.*smoothing"):
        train_stage(recipe, task(shards, recipe), None, finished)
    with pytest.raises(UserError, match="holds a run with other settings"):
        train_stage(small(), task(shards, small(), fold=2), None, finished)
    with pytest.raises(UserError, match="has folds 1 to 2, not 3"):
        task(shards, small(), fold=3)


def test_recipes_of_both_stages_hold_table_6() -> None:
    for stage, rate in (("posttrain", 1e-3), ("finetune", 5e-4)):
        recipe = load_finetune_recipe(stage, "avfmaepp_b")
        assert (recipe.optim.base_lr, recipe.optim.weight_decay, recipe.optim.betas) == (rate, 0.05, (0.9, 0.999))
        assert (recipe.epochs, recipe.optim.warmup_epochs, recipe.batch, recipe.repeats) == (100, 5, 32, 2)
        assert (recipe.drop_path, recipe.layer_decay, recipe.mix.mixup, recipe.smoothing) == (0.1, 0.75, 0.8, 0.1)
        assert recipe.segments == 2
    hicmae = load_finetune_recipe("finetune", "hicmae_b")
    assert (hicmae.batch, hicmae.optim.base_lr, hicmae.repeats) == (56, 1e-3, 1)
    for name in ("avfmaepp_l", "avfmaepp_h", "hicmae_s", "hicmae_t", "nano"):
        assert asdict(load_finetune_recipe("finetune", name))["model"] == name
