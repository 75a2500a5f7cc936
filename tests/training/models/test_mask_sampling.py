"""Masks have the right counts, follow regions by default, and follow the authors' code on request."""

import numpy as np
import pytest
from avf_training.models.mask_sampling import MaskConfig, Masker, paper_masks, region_order, running_cells
from support.models import tiny_config

LGI, VIT = tiny_config(), tiny_config("vit", "cross")


def clips(config, masks: MaskConfig, count: int = 50):
    masker, random = Masker(config, masks), np.random.default_rng(3)
    return [masker.sample(random) for _ in range(count)]


def test_consistent_masks_keep_each_chunk_inside_its_region() -> None:
    """Chunk k of what pre-training shows lies in region k of what fine-tuning has: 10 of 100 tubes, 3 of 16 patches."""
    video_regions = region_order((8, 10, 10), (2, 5, 10)).reshape(8, 100)
    audio_regions = region_order((16, 8), (4, 4)).reshape(8, 16)
    for clip in clips(LGI, paper_masks(LGI)):
        for stream, regions, each in ((clip.video, video_regions, 10), (clip.audio, audio_regions, 3)):
            for chunk, region in zip(stream.visible_V.reshape(8, each), regions, strict=True):
                assert set(chunk) <= set(region)
                assert len(set(chunk)) == each
            assert (stream.position_V == stream.visible_V).all()


def test_video_masks_are_tubes() -> None:
    for config, window in ((LGI, 5), (VIT, 10)):
        for clip in clips(config, paper_masks(config)):
            frames = np.sort(clip.video.visible_V).reshape(8, 10) % 100
            assert (frames == frames[0]).all()
            assert (np.bincount(frames[0] // 10 // window) == window).all()


def test_masks_of_the_authors_code_use_raster_order() -> None:
    """The authors' regions: the first five visible tokens of a frame are its first region, wherever they lie."""
    wrong = 0
    for clip in clips(
        LGI, MaskConfig(video_ratio=0.9, audio_ratio=0.8125, decoder_ratio=0.5, region_mask="authors_code")
    ):
        chunks = clip.video.visible_V.reshape(8, 2, 5)
        assert (chunks[0, 0] < chunks[1, 0]).all()
        assert (clip.video.position_V == np.sort(clip.video.visible_V)).all()
        wrong += bool((chunks[0, 0] % 100 >= 50).any())
        assert (clip.audio.visible_V == np.sort(clip.audio.visible_V)).all()
    assert 0 < wrong < 50


def test_dual_masking_keeps_the_given_counts() -> None:
    for clip in clips(LGI, paper_masks(LGI)):
        assert len(clip.video.target_M) == 400
        assert len(clip.audio.target_M) == 64
        hidden = ~np.isin(clip.video.target_M, clip.video.visible_V)
        assert (clip.video.weight_M == hidden).all()
    shares = np.mean([clip.video.weight_M.sum() for clip in clips(LGI, paper_masks(LGI), 300)])
    assert shares == pytest.approx(360, abs=2)


def test_hicmae_reconstructs_every_masked_token() -> None:
    for clip in clips(VIT, paper_masks(VIT)):
        assert len(clip.video.target_M) == 720
        assert len(clip.audio.target_M) == 102
        assert clip.video.weight_M.all()
        assert not np.intersect1d(clip.video.target_M, clip.video.visible_V).size


def test_running_cells_keep_half_of_each_frame_and_every_position_in_turn() -> None:
    maps = running_cells((8, 10, 10), 0.5).reshape(4, 8, 100)
    assert (maps.sum(2) == 50).all()
    assert (maps[:, :4].sum(1) == 2).all()


def test_masks_depend_only_on_the_generator() -> None:
    masker = Masker(LGI, paper_masks(LGI))
    first, second = (masker.sample(np.random.default_rng([7, 11])) for _ in range(2))
    other = masker.sample(np.random.default_rng([7, 12]))
    assert (first.video.visible_V == second.video.visible_V).all()
    assert (first.video.visible_V != other.video.visible_V).any()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            MaskConfig(video_ratio=0.9, audio_ratio=0.8, decoder_ratio=0.5),
            r"audio_ratio 0.8 masks 12.8 of the 16 tokens of a 4x4 region; 0.75 or 0.8125",
        ),
        (
            MaskConfig(video_ratio=0.93, audio_ratio=0.8125, decoder_ratio=0.5),
            r"video_ratio 0.93 masks 46.5 of the 50 tokens of a 5x10 region; 0.92 or 0.94",
        ),
        (
            MaskConfig(video_ratio=0.9, audio_ratio=0.8, decoder_ratio=0.5, region_mask="authors_code"),
            r"audio_ratio 0.8 leaves 26 visible tokens, which 8 regions",
        ),
        (
            MaskConfig(video_ratio=0.91, audio_ratio=0.8125, decoder_ratio=0.5, region_mask="authors_code"),
            r"video_ratio 0.91 leaves 9 visible tokens, which 2 regions",
        ),
        (
            MaskConfig(video_ratio=0.99, audio_ratio=0.8125, decoder_ratio=0.5),
            r"video_ratio 0.99 masks 49.5 of the 50.*; 0.98 would fit",
        ),
    ],
)
def test_a_ratio_that_does_not_fit_the_regions_is_refused(masks: MaskConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Masker(LGI, masks)


def test_ratios_out_of_range_are_refused() -> None:
    for values, message in (((1.0, 0.8, 0.5), "video_ratio 1.0"), ((0.9, 0.8, 0.4), "decoder_ratio 0.4")):
        with pytest.raises(ValueError, match=message):
            MaskConfig(video_ratio=values[0], audio_ratio=values[1], decoder_ratio=values[2])
