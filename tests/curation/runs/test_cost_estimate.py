"""Cost estimates cover the total, and the sampled units belong to a run that continues."""

import json
from pathlib import Path

import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.demo.corpus import demo_videos
from avf_curation.runs.cost_estimate import SourceTotals, estimate_source, sample_groups
from avf_curation.sources.types import Video
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from support.demo_files import DemoFiles
from support.ray_runs import QUICK_SETTINGS


def simulated_durations(seed: int, groups: int = 2000) -> np.ndarray:
    """Bytes, core seconds, GPU seconds, stored bytes, clips, frames of each group; all follow the bytes, loosely."""
    draw = np.random.default_rng(seed)
    size = draw.lognormal(14, 0.8, groups)
    has_clips = draw.random(groups) < 0.7
    clips = draw.poisson(size / 3e5) * has_clips
    core_s = size * draw.lognormal(-12, 0.4, groups)
    stored = clips * 2e5 * draw.lognormal(0, 0.2, groups)
    return np.stack([size, core_s, size * 1e-6, stored, clips, clips * 150], 1)


def test_intervals_cover_the_total() -> None:
    inside = np.zeros(4)
    rounds = 60
    for seed in range(rounds):
        groups = simulated_durations(seed)
        total = SourceTotals(videos=2000, groups=2000, bytes=int(groups[:, 0].sum()))
        sample = np.random.default_rng(seed).choice(2000, 120, replace=False)
        estimate = estimate_source("a", total, groups[sample], True, seed)
        truth = (groups[:, 1].sum() / 3600, groups[:, 3].sum() / 1e9, groups[:, 4].sum(), groups[:, 5].sum() / 90_000)
        estimates = (estimate.core_hours, estimate.stored_gb, estimate.clips, estimate.kept_hours)
        inside += [interval.low <= value <= interval.high for interval, value in zip(estimates, truth, strict=True)]
    assert inside.min() >= 0.88 * rounds, inside


def test_a_sample_of_all_units_gives_the_exact_total() -> None:
    groups = simulated_durations(0, 30)
    estimate = estimate_source("a", SourceTotals(videos=30, groups=30, bytes=int(groups[:, 0].sum())), groups, False, 0)
    assert estimate.clips.low == estimate.clips.high == pytest.approx(estimate.clips.value)
    assert estimate.gpu_hours is None


def test_complete_groups_are_sampled_with_a_seed() -> None:
    videos = [
        Video(source="a", video_id=f"p{n // 3}/{n}", group_id=f"p{n // 3}", path="x", size_bytes=10, mtime_ns=1)
        for n in range(90)
    ]
    chosen = sample_groups(videos, 5, 0)
    assert len(chosen) == 15
    assert chosen == sample_groups(videos, 5, 0) != sample_groups(videos, 5, 1)
    with pytest.raises(UserError, match="--sample 1"):
        sample_groups(videos, 1, 0)


@pytest.mark.slow
def test_the_estimate_covers_the_cost_of_the_full_run(
    corpus: DemoFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Films of one kind, so that a few say much; and the same sample, asked for again, is not curated again."""
    source = tmp_path / "in"
    source.mkdir()
    for video in [video for video in demo_videos() if video.path.startswith("strangers/")][:16]:
        (source / Path(video.path).name).write_bytes(corpus.draw(video.path).read_bytes())
    words = ["--source", f"s={source}", "--engine", "inline", "--weights", str(tmp_path / "none")]
    words += [word for setting in QUICK_SETTINGS for word in ("--set", setting)]
    sample = ["estimate", *words, "--sample", "6", "--out", str(tmp_path / "sample"), "--json", "-"]
    assert main(sample) == 0
    first = capsys.readouterr().out
    log = (tmp_path / "sample/log/units.jsonl").read_text()
    assert main(sample) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(first)
    assert (tmp_path / "sample/log/units.jsonl").read_text() == log
    (estimate,) = json.loads(first)["sources"]
    assert estimate["sampled_groups"] == 6
    assert main(["run", *words, "--out", str(tmp_path / "whole")]) == 0
    full_run = RunFolder(tmp_path / "whole")
    kept_spans = [row for row in full_run.ledger().to_pylist() if row["status"] == "kept"]
    stored = sum(path.stat().st_size for path in full_run.root.rglob("clips.tar"))
    frames = sum(row["stop_frame"] - row["start_frame"] for row in kept_spans)
    for name, truth in (("clips", len(kept_spans)), ("stored_gb", stored / 1e9), ("kept_hours", frames / 90_000)):
        slack = 0.05 * truth  # six films: the interval's own chance of missing is not what this is about
        assert estimate[name]["low"] - slack <= truth <= estimate[name]["high"] + slack, name
    assert 0 < estimate["core_hours"]["low"] <= estimate["core_hours"]["value"] <= estimate["core_hours"]["high"]
    capsys.readouterr()
    assert main([*sample[:-2]]) == 0
    assert "6 of 16 groups" in capsys.readouterr().out
    words[1] = f"s={source}"
    assert main(["estimate", *words, "--out", str(tmp_path / "whole")]) == 2
