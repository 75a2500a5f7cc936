"""The spread of features is measured by its formulas, and features that have collapsed raise an alarm."""

import math

import numpy as np
import pytest
import torch
from avf_training.evaluation.feature_health import effective_rank, measure_features, uniformity


def random_features(clips: int, width: int, rank: int | None = None, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    if rank is None:
        return torch.randn(clips, width, generator=random)
    return torch.randn(clips, rank, generator=random) @ torch.randn(rank, width, generator=random)


def test_the_effective_rank_counts_dimensions() -> None:
    axes_NC = torch.cat([torch.eye(8), -torch.eye(8)])
    assert effective_rank(axes_NC) == pytest.approx(8)
    assert effective_rank(5 + 100 * axes_NC) == pytest.approx(8, rel=1e-5), "neither the mean nor the scale counts"
    assert effective_rank(random_features(64, 32, rank=1)) == pytest.approx(1)
    assert effective_rank(torch.full((64, 32), 3.7)) == 1
    uneven_NC = torch.cat([axes_NC[:, :2] * torch.tensor([3.0, 1.0])])
    share = np.array([3, 1]) / 4
    assert effective_rank(uneven_NC) == pytest.approx(math.exp(-(share * np.log(share)).sum()))


def test_uniformity_and_alignment_are_those_of_wang_and_isola() -> None:
    video, audio = random_features(20, 6, seed=1), random_features(20, 6, seed=2)
    health = measure_features({"video": video, "audio": audio})
    v, a = (x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True) for x in (video, audio))
    distances = [((v[i] - v[j]) ** 2).sum() for i in range(20) for j in range(i)]
    assert health.uniformity["video"] == pytest.approx(np.log(np.mean(np.exp(-2 * np.array(distances)))))
    assert health.alignment == pytest.approx(np.mean([((v[i] - a[i]) ** 2).sum() for i in range(20)]))
    nearest = [max(range(20), key=lambda j, i=i: v[i] @ a[j]) for i in range(20)]
    assert health.recall_video_to_audio == np.mean([nearest[i] == i for i in range(20)])
    assert measure_features({"video": video, "audio": video}).recall_audio_to_video == 1
    assert measure_features({"video": video, "audio": video}).alignment == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.ones(5, 3).double() / 3**0.5) == pytest.approx(0)


def test_an_alarm_names_what_collapsed() -> None:
    good = random_features(200, 64)
    line, point = random_features(200, 64, rank=1), 50 + 0.01 * random_features(200, 64)
    assert measure_features({"video": good, "audio": good}).alarms() == []
    (sentence,) = measure_features({"video": good, "audio": line}).alarms()
    assert sentence.startswith("the audio features of 200 clips fill 1.00 of 64 dimensions (effective rank")
    (sentence,) = measure_features({"video": point, "audio": good}).alarms()
    assert sentence.startswith("the video features of 200 clips are nearly one point (uniformity -0.0000")
    assert measure_features({"audio": random_features(3, 64)}).alarms() == [], "three clips fill two dimensions"


def test_other_widths_and_one_modality_have_no_pairs() -> None:
    health = measure_features({"video": random_features(9, 8), "audio": random_features(9, 6)})
    assert (health.alignment, health.recall_audio_to_video) == (None, None)
    assert set(health.values()) == {"rank/video", "rank/audio", "uniformity/video", "uniformity/audio"}
    with pytest.raises(ValueError, match="1 clips: the spread of features needs at least 2"):
        measure_features({"video": random_features(1, 8)})
