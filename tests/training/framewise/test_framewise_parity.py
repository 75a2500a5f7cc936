"""The frame-level side computes what the authors' code computed, and a wrong number or a damaged file is reported."""

import json
from pathlib import Path

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.framewise.parity.dispatch import compare
from avf_training.framewise.parity.rows import compare_equal, compare_pairs

FILES = (
    "losses.npz",
    "lr_schedules.json",
    "sun_unfreezing.json",
    "sun_post.npz",
    "sun_audio.npz",
    "late_fusion.npz",
    "netease_folds_votes.json",
)


@pytest.mark.real
@pytest.mark.parametrize("name", FILES)
def test_our_numbers_equal_those_of_the_authors_code(abaw6: Path, name: str) -> None:
    rows = compare(abaw6 / name)
    assert sum(row.numbers for row in rows) > 0
    assert not [row for row in rows if not row.passed]


@pytest.mark.real
def test_a_single_wrong_rate_is_reported(abaw6: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = json.loads((abaw6 / "lr_schedules.json").read_text())
    numbers["netease_epoch_lr_5e-05"][3] *= 1.01
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(numbers))
    assert main(["parity", str(changed), "--page", str(tmp_path / "page.md")]) == 1
    assert "OFF: changed.json, float64, NetEase epochs: netease_epoch_lr_5e-05" in capsys.readouterr().out


def test_a_difference_of_any_kind_makes_a_group_fail() -> None:
    same = compare_pairs("f", "g", [("a", [1.0, 2.0], [1.0, 2.0])], 1e-12)
    assert (same.passed, same.numbers, same.worst) == (True, 2, 0)
    for ours in ([1.0, 2.1], [1.0, np.nan], [1.0], [[1.0, 2.0]]):
        row = compare_pairs("f", "g", [("a", [1.0], [1.0]), ("b", ours, [1.0, 2.0])], 1e-12)
        assert not row.passed
        assert row.where == "b"
    assert not compare_equal("f", "g", [("a", 1, 1), ("b", ["x"], ["y"])]).passed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged, or not a file of JSON"),
        ("[1]", "holds no object of JSON"),
        ("{}", "holds none of the numbers that are known here"),
        ('{"EfficientNet-B1": 3}', "holds EfficientNet-B1, but not all that belongs to it"),
        ('{"EfficientNet-B1": {"layers": [["a", 1]]}}', "holds EfficientNet-B1, but not all"),
    ],
)
def test_a_json_file_that_is_no_oracle_is_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        compare(file)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        compare(tmp_path / "gone.json")
