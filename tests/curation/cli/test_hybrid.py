"""avf-curate hybrid reports quotas and shortfalls, and packs with other quotas without curating a video."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe
from avf_curation.runs.identity import run_identity
from support.curation_runs import EMBEDDED
from support.runs import make_run

RECIPE = """
hybrid:
  seed: 7
  absent_sources: report
  sources:
    made: {quota: 5, order: speakers}
    avspeech: {quota: 371000}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_the_package_contains_the_papers_hybrid_recipe() -> None:
    hybrid = load_recipe(Path("hybrid")).hybrid
    assert hybrid is not None
    quotas = {name: source.quota for name, source in hybrid.sources.items()}
    assert quotas == {
        "voxceleb2": 515_000,
        "avspeech": 371_000,
        "cncvs": 370_000,
        "mer2024": 85_000,
        "celebvhq": 18_000,
    }
    assert hybrid.near_duplicates is not None
    recipe = load_recipe(Path("hybrid"))
    assert recipe.settings_for("voxceleb2").gates.non_deciding == {"faces": "skip"}
    assert recipe.settings_for("voxceleb2").scenes.detectors == ()


def test_quotas_are_no_part_of_the_fingerprint(recipe_file: Path) -> None:
    changed = load_recipe(recipe_file, ["hybrid.sources.made.quota=9"])
    identities = [
        run_identity(recipe, EMBEDDED, ["made"]) for recipe in (load_recipe(), load_recipe(recipe_file), changed)
    ]
    assert identities[0] == identities[1] == identities[2]


def test_quotas_are_reported_and_another_quota_packs_without_curation(
    tmp_path: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, videos=6)
    for path in (tmp_path / "in").iterdir():
        path.unlink()  # nothing below needs the inputs
    words = ["hybrid", str(run.root), "--recipe", str(recipe_file)]
    assert main([*words, "--dry-run"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[:2] + line.split()[-3:] for line in table.splitlines()[1:3]] == [
        ["avspeech", "371000", "0", "0", "371000"],
        ["made", "5", "12", "5", "0"],
    ]
    assert not (tmp_path / "a").exists()
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    options = ["--set", "hybrid.sources.made.quota=9", "--out", str(tmp_path / "b"), "--json", "-"]
    capsys.readouterr()
    assert main([*words, *options]) == 0
    assert json.loads(capsys.readouterr().out)["sources"]["made"]["selected"] == 9
    small, large = (pq.read_table(tmp_path / name / "selection.parquet").to_pylist() for name in "ab")
    assert {row["key"] for row in small if row["selected"]} < {row["key"] for row in large if row["selected"]}
    assert len(small) == len(large) == 12


def test_a_recipe_without_quotas_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    (tmp_path / "plain.yaml").write_text("sync: {min_confidence: 4}\n")
    assert main(["hybrid", str(run.root), "--recipe", str(tmp_path / "plain.yaml"), "--dry-run"]) == 2
    assert "has no table `hybrid`" in capsys.readouterr().err
    assert main(["hybrid", str(run.root), "--set", "hybrid.sources.made.quotta=1", "--dry-run"]) == 2
    assert "quota" in capsys.readouterr().err
