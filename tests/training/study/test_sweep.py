"""A sweep becomes rows of the study: every combination of a grid, or draws that more draws do not change."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from avf_shards.errors import UserError
from avf_training.config.finetune import load_finetune_recipe
from avf_training.config.pretrain import load_recipe
from avf_training.study.charts import curve_chart
from avf_training.study.plan import StudyInputs, load_study, select_rows, study_matrix
from avf_training.study.sweep import Sweep, SweepRange, swept_number

INPUTS = StudyInputs(shards=["L"], unlabelled=["U"], starts={"avfmaepp_b": Path("m")}, folds_of={"mafw_11": 5})


def write_study(folder: Path, **rows: object) -> str:
    path = folder / "own.yaml"
    path.write_text(
        yaml.safe_dump({"title": "Own", "datasets": ["mafw_11"], "folds": [1], "rows": rows}, sort_keys=False)
    )
    return str(path)


def test_a_grid_has_every_combination_as_a_row(tmp_path: Path) -> None:
    sweep = {"values": {"optim.base_lr": [1e-3, 2e-3], "layer_decay": [0.75, 0.9]}}
    row = {"recipe": "nano", "stages": ["finetune"], "settings": {"finetune": {"optim": {"weight_decay": 0.1}}}}
    study = load_study(write_study(tmp_path, base=row, swept=row | {"sweep": sweep, "without": "base"}))
    assert list(study.rows) == [
        "base",
        "swept, optim.base_lr 0.001, layer_decay 0.75",
        "swept, optim.base_lr 0.001, layer_decay 0.9",
        "swept, optim.base_lr 0.002, layer_decay 0.75",
        "swept, optim.base_lr 0.002, layer_decay 0.9",
    ]
    matrix = study_matrix(study, tmp_path / "out", INPUTS)
    recipes = [load_finetune_recipe("finetune", job.recipe, job.overrides) for job in matrix.jobs]
    values = [(recipe.optim.base_lr, recipe.layer_decay, recipe.optim.weight_decay) for recipe in recipes]
    assert values[1:] == [(lr, decay, 0.1) for lr in (1e-3, 2e-3) for decay in (0.75, 0.9)]
    assert all(row.without == "base" for name, row in study.rows.items() if name != "base")
    assert len(select_rows(study, ["swept"]).rows) == 4, "the row's name stands for its combinations"


def test_more_draws_leave_the_first_as_they_are() -> None:
    settings = {"ranges": {"lr": SweepRange(low=1e-4, high=1e-1, log=True)}, "values": {"smoothing": (0.0, 0.1)}}
    few, many = (Sweep(**settings, draws=draws, seed=3).points() for draws in (5, 400))
    assert many[:5] == few
    assert Sweep(**settings, draws=5, seed=4).points() != few
    rates = np.array([point["lr"] for point in many])
    assert 1e-4 <= rates.min() < 2e-4
    assert 5e-2 < rates.max() <= 1e-1
    assert 0.4 < np.mean(rates < 10**-2.5) < 0.6, "half below the middle of the logarithms"
    assert {point["smoothing"] for point in many} == {0.0, 0.1}


def test_a_range_is_drawn_evenly_or_by_its_logarithm() -> None:
    assert SweepRange(low=2, high=4).draw(0.25) == 2.5
    assert SweepRange(low=1, high=100, log=True).draw(0.5) == 10


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({}, "values and ranges are both empty"),
        ({"ranges": {"layer_decay": {"low": 0.1, "high": 0.9}}}, "ranges need draws"),
        ({"values": {"layer_decay": []}}, "values of layer_decay are empty"),
        ({"values": {"seed": [1]}, "ranges": {"seed": {"low": 1, "high": 2}}, "draws": 2}, "both have seed"),
        ({"ranges": {"layer_decay": {"low": 0.9, "high": 0.1}}, "draws": 2}, "low 0.9 must be below high 0.1"),
        ({"ranges": {"layer_decay": {"low": 0, "high": 1, "log": True}}, "draws": 2}, "must be above 0 where log"),
        ({"values": {"layer_decay": [0.5]}, "stage": "pretrain"}, "sweep of pretrain, which is none of the stages"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(tmp_path: Path, sweep: object, message: str) -> None:
    row = {"recipe": "nano", "stages": ["finetune"], "sweep": sweep}
    with pytest.raises(UserError, match=message):
        load_study(write_study(tmp_path, swept=row))


def test_a_row_that_is_compared_with_a_sweep_names_a_combination(tmp_path: Path) -> None:
    row = {"recipe": "nano", "stages": ["finetune"]}
    swept = row | {"sweep": {"values": {"layer_decay": [0.5, 0.9]}}}
    with pytest.raises(UserError, match=r"unknown row 'swept'; known here: base, swept, layer_decay 0.5"):
        load_study(write_study(tmp_path, base=row | {"without": "swept"}, swept=swept))
    study = load_study(write_study(tmp_path, base=row | {"without": "swept, layer_decay 0.5"}, swept=swept))
    assert study.rows["base"].without == "swept, layer_decay 0.5"


def test_scaling_studies_take_equal_steps_on_shares() -> None:
    study = load_study("data_scaling")
    jobs = [job for job in study_matrix(study, Path("o"), INPUTS).jobs if job.stage == "pretrain"]
    recipes = [load_recipe(job.recipe, job.overrides) for job in jobs]
    assert sorted({recipe.mix.share for recipe in recipes}) == [0.125, 0.25, 0.5, 1.0]
    assert len({(recipe.epochs, recipe.batch, recipe.steps) for recipe in recipes}) == 1
    labelled = study_matrix(load_study("label_scaling"), Path("o"), INPUTS)
    shares = {load_finetune_recipe(job.stage, job.recipe, job.overrides).train_share for job in labelled.jobs}
    assert sorted(shares) == [0.125, 0.25, 0.5, 1.0]


def test_one_number_that_varies_is_a_curve() -> None:
    assert swept_number([{"mix.share": 0.5}, {"mix.share": 1}]) == "mix.share"
    assert swept_number([{"mix.share": 0.5}]) is None
    assert swept_number([{"a": 1, "b": 2}, {"a": 2, "b": 2}]) is None
    assert swept_number([{"regression": "mse"}, {"regression": "ccc"}]) is None
    points = [{"setting": share, "value": 50.0, "low": None, "high": None} for share in (0.125, 1.0)]
    chart = curve_chart("UAR", "mix.share", "B", points)
    assert chart.spec["encoding"]["x"]["scale"]["type"] == "log"
    assert "type" not in curve_chart("UAR", "seed", "B", [points[1]]).spec["encoding"]["x"]["scale"]
