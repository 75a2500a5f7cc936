"""The figure of a reconstruction says in words where the output is worse than each patch's mean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import MaskConfig
from avf_training.pretraining.reconstruction_figure import (
    ReconstructedClip,
    _error_ratio,
    draw_reconstruction,
    reconstruct_clip,
)
from avf_training.trainer.figures import load_pyplot
from support.models import random_batch, tiny_config


def test_the_error_is_compared_with_each_patch_s_mean() -> None:
    target = torch.randn(1, 5, 4 * 3, generator=torch.Generator().manual_seed(0))
    mean = target.unflatten(-1, (4, 3)).mean(-2, keepdim=True).expand(-1, -1, 4, -1).flatten(-2)
    assert _error_ratio(mean, target, channels=3) == pytest.approx(1)
    assert _error_ratio(target, target, channels=3) == 0
    assert _error_ratio(2 * target + 1, target, channels=3) > 1


def reconstruct_untrained() -> ReconstructedClip:
    """Return what an untrained model makes of a random clip, half of which is hidden."""
    torch.manual_seed(0)
    model = MaskedAutoencoder(tiny_config())
    video, audio = random_batch(model.config, 1)
    assert video is not None
    assert audio is not None
    masks = MaskConfig(video_ratio=0.5, audio_ratio=0.5, decoder_ratio=0.0)
    return reconstruct_clip(model, video, audio, masks, seed=0)


def test_an_untrained_model_is_worse_than_the_means_of_patches_and_its_raw_output_is_kept(tmp_path: Path) -> None:
    clip = reconstruct_untrained()
    assert clip.worse == ["video", "sound"]
    assert clip.verdict.startswith("worse than patch means: video 1.")
    assert clip.audio is not None
    hidden = np.isnan(clip.audio.visible)
    assert (np.isnan(clip.audio.raw) == ~hidden).all(), "the raw output is of what was hidden"
    draw_reconstruction(tmp_path / "r.png", [clip], "clip", restored=True)
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"


def test_the_heading_names_the_modality_that_is_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = reconstruct_untrained()
    assert clip.video is not None
    headings: list[str] = []
    monkeypatch.setattr("matplotlib.figure.Figure.suptitle", lambda figure, text, **_: headings.append(text))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **_: None)
    for ratio in (1.5, 0.5):
        changed = replace(clip, video=replace(clip.video, error_ratio=ratio))
        draw_reconstruction(tmp_path / "r.png", [changed], "clip", restored=False)
    assert [text.splitlines()[1].partition(" than")[0] for text in headings] == ["worse", "sound worse"]


def test_long_names_and_figures_stay_inside_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = load_pyplot()
    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    untrained = reconstruct_untrained()
    assert untrained.video is not None
    assert untrained.audio is not None
    clip = ReconstructedClip(
        video=replace(untrained.video, error_ratio=1234.5), audio=replace(untrained.audio, error_ratio=1234.5)
    )
    names = f"{'interviews-' + '0' * 32}-0000000-0000075-0\n{'/a_long_name' * 12}/model"
    for restored in (False, True):
        draw_reconstruction(tmp_path / "r.png", [clip], names, restored)
        figure = pyplot.gcf()
        figure.draw_without_rendering()  # sizes in the figure's own dots, not in those of the file
        texts = [text for part in (figure, *figure.subfigs) for text in part.texts]
        assert any("1234.50\ntimes" in each.get_text() or "1234.50 times" in each.get_text() for each in texts)
        for text in texts:
            assert text.get_window_extent().x1 <= figure.bbox.x1, text.get_text()
    monkeypatch.undo()
    pyplot.close("all")
