"""Fine-tuning of a fold trains, is reproducible, resumes after a kill, and refuses invalid data."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from avf_shards.errors import UserError
from avf_shards.schema.versions import read_json
from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.finetune import load_best_model, train_stage
from avf_training.finetuning.model_selection import read_validation, select_epoch
from avf_training.finetuning.reevaluate import reevaluate_run
from avf_training.models.classifier import Classifier
from avf_training.tasks.hybrid import hybrid_task
from avf_training.tasks.labelled_clips import read_labelled_clips
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.learned_clips import LEARNED, read_learned
from avf_training.tasks.relations import assert_no_leakage
from avf_training.tasks.task import Task, fold_task
from avf_training.trainer.metrics_writer import read_lines
from avf_training.trainer.optimizer import schedule
from avf_training.trainer.saved_model import start_model
from support.labelled import LABELS, make_dataset, make_label_rows, make_labelled_shards
from support.training_runs import SHALLOW
from support.waiting import wait_until

STORAGE = StorageConfig()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_shards(
        tmp_path_factory.mktemp("lab"), {"lab": make_label_rows(6, 3), "more": make_label_rows(3, 2, first=50)}
    )


SETS = [
    *("batch=6", "micro_batch=6", "workers=0", "epochs=18", "evaluate_every=6", "threads=1"),
    *("validation_share=0.2", "drop_path=0.3"),
]


def small_recipe(*settings: str, seed: int = 0) -> FinetuneRecipe:
    return load_finetune_recipe("finetune", "nano", [SHALLOW, *SETS, f"seed={seed}", *settings])


def make_task(shards: Path, recipe: FinetuneRecipe, fold: int = 1, **changes: object) -> Task:
    return fold_task(
        make_dataset(**changes), LabelledShards([shards], STORAGE), fold, recipe.modalities, recipe.validation_share
    )


def predictions(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((out / "predictions").glob("*.json"))}


@pytest.fixture(scope="module")
def finished(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    recipe = small_recipe()
    train_stage(recipe, make_task(shards, recipe), None, out)
    return out


def test_a_fold_is_trained_and_scored_by_three_protocols(finished: Path, shards: Path) -> None:
    result = read_json(finished / "result.json", "test result")
    assert set(result["protocols"]) == {"validation", "test_best", "last"}
    assert result["train"] + result["validation"] + result["test"] == 36
    assert result["protocols"]["last"]["scores"]["WAR"]["value"] > 0.9
    assert result["protocols"]["last"]["people"] == 3
    assert result["protocols"]["last"]["scores"]["UAR"]["interval"] is None, "three people tell too little"
    rows = read_validation(finished)
    assert [row.epoch for row in rows] == [6, 12, 18]
    chosen = result["protocols"]["test_best"]["step"]
    assert chosen == select_epoch(rows, "test_best", "WAR")[0]
    model = Classifier.from_pretrained(load_best_model(finished, "validation"))
    assert model.output_spec.names == LABELS


def test_no_subject_is_in_two_parts_of_a_fold(finished: Path, shards: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    subject = {
        clip.key: clip.subject for clip in read_labelled_clips(LabelledShards([shards], STORAGE), make_dataset()).clips
    }
    parts = [{subject[key] for key in run[name]} for name in ("train", "validation", "test")]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts)) == 6


@pytest.mark.slow
def test_the_same_seed_gives_the_same_predictions_bit_for_bit(shards: Path, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("same", 0), ("other", 1)):
        recipe = small_recipe("epochs=4", "evaluate_every=2", seed=seed)
        train_stage(recipe, make_task(shards, recipe), None, tmp_path / name)
    assert predictions(tmp_path / "same") == predictions(tmp_path / "first")
    validation = [(tmp_path / name / "validation.jsonl").read_text() for name in ("first", "same")]
    assert validation[0] == validation[1]
    assert predictions(tmp_path / "other") != predictions(tmp_path / "first")


@pytest.mark.slow
def test_a_run_killed_between_two_epochs_resumes_to_the_same_result(
    finished: Path, shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    run = subprocess.Popen(finetune_command(tmp_path, shards, out, [SHALLOW, *SETS]))

    def second_epoch_is_validated() -> bool:
        assert run.poll() is None
        return len(read_validation(out)) >= 2

    wait_until(second_epoch_is_validated, "the scores of the second epoch", 600)
    run.kill()
    run.wait()
    assert not (out / "result.json").exists()
    train_stage(small_recipe(), make_task(shards, small_recipe()), None, out)
    assert predictions(out) == predictions(finished)
    assert (out / "validation.jsonl").read_text() == (finished / "validation.jsonl").read_text()


def test_a_finished_run_is_evaluated_from_its_folder_to_the_same_predictions(
    finished: Path, shards: Path, tmp_path: Path
) -> None:
    labelled = LabelledShards([shards], STORAGE)
    for protocol in ("validation", "test_best", "last"):
        assert reevaluate_run(finished, labelled, protocol, None, "cpu")["same"] is True
    assert reevaluate_run(finished, labelled, "last", 1, "cpu")["same"] is None
    spoiled = json.loads((finished / "predictions/last.json").read_text())
    spoiled["scores"][0][0] += 1e-9
    original = (finished / "predictions/last.json").read_text()
    (finished / "predictions/last.json").write_text(json.dumps(spoiled))
    assert reevaluate_run(finished, labelled, "last", None, "cpu")["same"] is False
    (finished / "predictions/last.json").write_text(original)


@pytest.mark.slow
def test_fine_tuning_starts_from_post_pre_training_of_the_same_fold(shards: Path, tmp_path: Path) -> None:
    recipe, labelled = small_recipe("epochs=2"), LabelledShards([shards], STORAGE)
    second_dataset = make_dataset("more")
    hybrid = hybrid_task(make_dataset(), labelled, 1, modalities="av", validation_share=0.2, joining=[second_dataset])
    tested = set(make_task(shards, recipe).test)
    assert set(hybrid.data.labels) == {"happy", "sadness"}
    assert not tested & set(hybrid.truth)
    assert any(key.startswith("more") for key in hybrid.train)
    assert hybrid.summary["test_clips_of_the_fold"] == len(tested)
    train_stage(recipe, hybrid, None, tmp_path / "psi")
    train_stage(recipe, make_task(shards, recipe), tmp_path / "psi", tmp_path / "ft")
    post_trained, fine_tuned = (
        Classifier.from_pretrained(load_best_model(tmp_path / name, "last")) for name in ("psi", "ft")
    )
    assert post_trained.head.weight.shape == fine_tuned.head.weight.shape
    assert json.loads((tmp_path / "ft/run.json").read_text())["start"] is not None
    before, after = (read_learned(tmp_path / name / LEARNED).labelled for name in ("psi", "ft"))
    assert before < after, "a stage inherits the list of its start"


def test_another_release_of_a_test_clip_stays_out_of_the_hybrid(shards: Path) -> None:
    labelled = LabelledShards([shards], STORAGE)
    separate_corpora = hybrid_task(
        make_dataset(), labelled, 1, modalities="av", validation_share=0.0, joining=[make_dataset("more")]
    )
    data, second_dataset = (
        make_dataset(same_recordings_as="two releases"),
        make_dataset("more", same_recordings_as="two releases"),
    )
    same_recordings = hybrid_task(data, labelled, 1, modalities="av", validation_share=0.0, joining=[second_dataset])
    first, second = (read_labelled_clips(labelled, each).identity_of for each in (data, second_dataset))
    tested = {first[key].recording for key in make_task(shards, small_recipe()).test}
    assert {second[key].recording for key in separate_corpora.truth if key in second} & tested, (
        "names of two corpora mean nothing"
    )
    assert not {second[key].recording for key in same_recordings.truth if key in second} & tested


def test_a_hybrid_with_another_release_of_a_test_clip_is_refused(shards: Path) -> None:
    labelled = LabelledShards([shards], STORAGE)
    clips, second_clips = (
        read_labelled_clips(labelled, make_dataset(name, same_recordings_as="two releases")) for name in ("lab", "more")
    )
    tested = [clips.identity_of[key] for key in make_task(shards, small_recipe()).test]
    reason = r"more-\S+: the same recording \(two releases/\d+.mp4\) is in the test set of lab, fold 1"
    with pytest.raises(UserError, match=reason):
        assert_no_leakage(second_clips.identity_of.values(), tested, "lab, fold 1")


def test_initial_weights_trained_on_test_clips_are_refused(finished: Path, shards: Path, tmp_path: Path) -> None:
    recipe = small_recipe()
    alone = shutil.copytree(finished / "model", tmp_path / "moved")  # its list goes with it
    for start in (finished, finished / "best/validation", finished / "model", alone):
        with pytest.raises(UserError, match=r"was trained on lab-\S+ and \d+ more clips that lab/fold_2 tests"):
            train_stage(recipe, make_task(shards, recipe, fold=2), start, tmp_path / "ft", "cpu")
    assert not (tmp_path / "ft").exists()


def test_validation_clips_depend_on_no_seed_and_are_in_no_hybrid(shards: Path) -> None:
    labelled = LabelledShards([shards], STORAGE)
    parts = {share: fold_task(make_dataset(), labelled, 1, "av", share).validation for share in (0.05, 0.1, 0.4)}
    assert set(parts[0.05]) <= set(parts[0.1]) <= set(parts[0.4])
    for share in (0.05, 0.3):
        hybrid = hybrid_task(
            make_dataset(), labelled, 1, modalities="av", validation_share=share, joining=[make_dataset("more")]
        )
        assert not {*parts[0.1], *fold_task(make_dataset(), labelled, 1, "av", 0.1).test} & set(hybrid.truth)
    assert make_task(shards, small_recipe(seed=1)).identity() == make_task(shards, small_recipe(seed=2)).identity()


def test_without_validation_the_hybrid_has_every_training_clip_of_the_fold(shards: Path) -> None:
    labelled = LabelledShards([shards], STORAGE)
    fold = fold_task(make_dataset(), labelled, 1, "av", 0.0)
    hybrid = hybrid_task(
        make_dataset(), labelled, 1, modalities="av", validation_share=0.0, joining=[make_dataset("more")]
    )
    assert set(fold.train) <= set(hybrid.train)
    assert hybrid.validation == ()
    assert not set(fold.test) & set(hybrid.truth)


@pytest.mark.slow
@pytest.mark.parametrize("modalities", ["a", "v"])
def test_a_single_modality_is_fine_tuned(shards: Path, tmp_path: Path, modalities: str) -> None:
    recipe = small_recipe("epochs=3", f"modalities={modalities}")
    train_stage(recipe, make_task(shards, recipe), None, tmp_path / "run")
    names = dict(Classifier.from_pretrained(tmp_path / "run/model").named_parameters())
    assert any(name.startswith("encoder_video") for name in names) == (modalities == "v")
    assert any(name.startswith("encoder_audio") for name in names) == (modalities == "a")


@pytest.mark.slow
def test_dimensions_are_regressed_inside_their_range(tmp_path: Path) -> None:
    rows = [{"valence": str(v), "subject": f"p{n}"} for n in range(6) for v in (-1.5, -1.0, 1.0, 1.5)]
    shards = make_labelled_shards(tmp_path, {"lab": rows})
    recipe = load_finetune_recipe("finetune", "nano", [*SETS, "epochs=6", "evaluate_every=2"])
    data = make_dataset(
        task="dimensions", labels=(), dimensions=("valence",), range=(-2.0, 2.0), metrics=("PCC", "CCC")
    )
    task = fold_task(data, LabelledShards([shards], STORAGE), 1, "av", 0.0)
    train_stage(replace(recipe, validation_share=0.0), task, None, tmp_path / "run")
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert set(result["protocols"]) == {"test_best", "last"}, "nothing was held out, so nothing could be chosen by it"
    assert result["protocols"]["last"]["scores"]["PCC valence"]["value"] > 0.8
    recorded = json.loads((tmp_path / "run/predictions/last.json").read_text())
    assert all(-2 <= value <= 2 for (value,) in recorded["scores"])


def test_initial_weights_of_another_size_name_the_tensor(finished: Path, shards: Path, tmp_path: Path) -> None:
    recipe = small_recipe("variant={video: {width: 48, heads: 3}, audio: {width: 48, heads: 3}}")
    alone = shutil.copytree(start_model(finished), tmp_path / "a model alone")
    (alone / LEARNED).unlink()
    with pytest.raises(
        UserError,
        match=r"of another size: encoder_audio\.blocks\.0\.gather_attn\S+ is \(192, 96\), this model's is \(96, 48\)",
    ):
        train_stage(recipe, make_task(shards, recipe), alone, tmp_path / "run")
    assert not (tmp_path / "run/result.json").exists()
    with pytest.raises(UserError, match="holds no saved model and no finished run"):
        train_stage(small_recipe(), make_task(shards, small_recipe()), tmp_path, tmp_path / "x")


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (
            [{"label": "up", "subject": "a"}],
            {},
            r"unknown label 'up' of lab; known here: left, right \(1 such",
        ),
        ([{"label": "lefr", "subject": "a"}], {}, "unknown label 'lefr' of lab; did you mean 'left'"),
        (make_label_rows(4), {"labels": (*LABELS, "none")}, "fold 1: no clip to train on for none"),
        ([{**row, "mute": "yes"} for row in make_label_rows(4)], {}, "no clip has sound .* set modalities=v"),
        (
            [{**row, "fold": "1"} for row in make_label_rows(4)],
            {"split": "predefined", "scheme": "own"},
            "fold 1 has no clip to train",
        ),
        (
            [{**row, "fold": str(n % 2 + 1)} for n, row in enumerate(make_label_rows(4))],
            {"split": "predefined", "scheme": "own"},
            "fold 1: subject p3 is trained on .* and tested",
        ),
        (make_label_rows(4), {"split": "predefined", "scheme": "theirs"}, "its record has no fold 'theirs' of lab"),
        (
            make_label_rows(4),
            {"source": "elsewhere"},
            r"no clip of source 'elsewhere' in these shards; they hold lab \(16\)",
        ),
        (
            [{"valence": "high", "subject": "a"}],
            {"task": "dimensions", "labels": (), "dimensions": ("valence",)},
            "its valence is 'high', not a number",
        ),
    ],
)
def test_bad_labels_name_the_clip_and_the_rule(
    tmp_path: Path, rows: list[dict[str, str]], changes: dict[str, object], message: str
) -> None:
    shards = make_labelled_shards(tmp_path, {"lab": rows})
    with pytest.raises(UserError, match=message):
        make_task(shards, small_recipe(), **changes)


@pytest.mark.slow
def test_any_number_of_processes_gives_the_results_of_a_single_process(shards: Path, tmp_path: Path) -> None:
    """All worlds train on the same clips with the same drop path and groups of batch norm, and share the test clips."""
    sets = ["batch=12", "micro_batch=3", "workers=0", "epochs=2", "threads=1", "validation_share=0.2", "drop_path=0.3"]
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--no-python", "--nproc-per-node"]
    for world in (2, 4):
        argv = [*torchrun, str(world), *finetune_command(tmp_path, shards, tmp_path / f"world{world}", sets)]
        subprocess.run(argv, check=True, timeout=400, capture_output=True)
    larger = [*sets, "micro_batch=6", "batch_norm_clips=3"]
    for name, settings in (("world1", sets), ("larger", larger)):
        recipe = load_finetune_recipe("finetune", "nano", settings)
        train_stage(recipe, make_task(shards, recipe), None, tmp_path / name)
    single = answers_of(tmp_path / "world1")
    for name in ("world2", "world4", "larger"):
        answers = answers_of(tmp_path / name)
        # Sums over ranks and over micro-batches round differently; other rows dropped or other moments of batch norm
        # would change losses by percents.
        assert answers.losses == pytest.approx(single.losses, rel=1e-3)
        assert answers.outputs.keys() == single.outputs.keys()
        for key, outputs in single.outputs.items():
            assert answers.outputs[key] == pytest.approx(outputs, abs=5e-3)


@pytest.mark.slow
def test_a_run_that_scored_no_epoch_ends_though_rank_0_saves_late(shards: Path, tmp_path: Path) -> None:
    """The other rank once decided by the missing file that there is nothing to test, and waited for ever."""
    sets = ["batch=6", "micro_batch=3", "workers=0", "steps=2", "threads=1", "validation_share=0.2", "evaluate_every=9"]
    script = str(Path(__file__).parents[2] / "support/late_rank.py")
    command = finetune_command(tmp_path, shards, tmp_path / "run", sets)[1:]
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", script]
    environment = os.environ | {"AVF_DECISIONS": str(tmp_path / "decisions")}
    subprocess.run([*torchrun, *command], check=True, timeout=180, capture_output=True, env=environment)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert set(result["protocols"]) == {"last"}
    assert (tmp_path / "run/validation.jsonl").exists() is False


class Answers(NamedTuple):
    losses: list[float]  # of each step
    outputs: dict[str, list[float]]  # of the last model, by clip key


def answers_of(run: Path) -> Answers:
    recorded = json.loads((run / "predictions/last.json").read_text())
    assert sorted(recorded["keys"]) == sorted(json.loads((run / "run.json").read_text())["test"])
    assert set(json.loads((run / "result.json").read_text())["protocols"]) == {"validation", "test_best", "last"}
    losses = [row["loss"] for row in read_lines(run / "metrics.jsonl")]
    return Answers(losses, dict(zip(recorded["keys"], recorded["scores"], strict=True)))


def finetune_command(folder: Path, shards: Path, out: Path, sets: list[str]) -> list[str]:
    """The command line that fine-tunes fold 1 of `make_dataset()`."""
    (folder / "lab.yaml").write_text(yaml.safe_dump(to_plain_values(asdict(make_dataset()))))
    argv = [str(Path(sys.executable).with_name("avf-train")), "finetune", "--dataset", str(folder / "lab.yaml")]
    argv += ["--shards", str(shards), "--recipe", "nano", "--device", "cpu", "--out", str(out)]
    return [*argv, *(part for setting in sets for part in ("--set", setting))]


def to_plain_values(values: object) -> object:
    if isinstance(values, dict):
        return {key: to_plain_values(value) for key, value in values.items()}
    return [to_plain_values(value) for value in values] if isinstance(values, tuple) else values


def test_another_setting_or_fold_needs_another_run_folder(finished: Path, shards: Path) -> None:
    recipe = small_recipe("smoothing=0.2")
    with pytest.raises(UserError, match=r"another folder\n.*smoothing"):
        train_stage(recipe, make_task(shards, recipe), None, finished)
    with pytest.raises(UserError, match="holds a run with other settings"):
        train_stage(small_recipe(), make_task(shards, small_recipe(), fold=2), None, finished)
    with pytest.raises(UserError, match="has folds 1 to 2, not 3"):
        make_task(shards, small_recipe(), fold=3)


def test_fine_tuning_recipes_hold_the_values_of_table_6() -> None:
    for stage, rate in (("posttrain", 1e-3), ("finetune", 5e-4)):
        recipe = load_finetune_recipe(stage, "avfmaepp_b")
        assert (recipe.optim.base_lr, recipe.optim.weight_decay, recipe.optim.betas) == (rate, 0.05, (0.9, 0.999))
        assert (recipe.epochs, recipe.optim.warmup_epochs, recipe.batch, recipe.repeats) == (100, 5, 32, 2)
        assert (recipe.drop_path, recipe.layer_decay, recipe.mix.mixup, recipe.smoothing) == (0.1, 0.75, 0.8, 0.1)
        assert (recipe.segments, recipe.augment.colour_jitter) == (2, 0.4)
        assert recipe.samples == 64, "32 different clips, each twice"
        assert schedule(recipe.optim, recipe.batch, 100, 5).peak == pytest.approx(rate * 32 / 256), "it counts 32"
    hicmae = load_finetune_recipe("finetune", "hicmae_b")
    assert (hicmae.batch, hicmae.optim.base_lr, hicmae.repeats) == (56, 1e-3, 1)
    for name in ("avfmaepp_l", "avfmaepp_h", "hicmae_s", "hicmae_t", "nano"):
        assert asdict(load_finetune_recipe("finetune", name))["model"] == name
