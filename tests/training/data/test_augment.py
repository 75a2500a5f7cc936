"""Augmentation of fine-tuning agrees with Pillow, and mixing agrees with each clip by hand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from avf_training.data.augment import (
    AugmentParams,
    Operation,
    Rectangle,
    apply_operation,
    erase_rectangles,
    sample_augment,
)
from avf_training.data.augment_config import AugmentConfig, MixConfig
from avf_training.data.finetuning_sampler import FinetuningSampler
from avf_training.data.mixing import (
    MixParams,
    mix_audio,
    mix_targets,
    mix_video,
    partner_position,
    sample_mix,
    smooth_labels,
)
from avf_training.data.transforms import resample_pixels
from avf_training.models.presets import preset
from PIL import Image, ImageEnhance, ImageOps

SIZE = 96
NAMES = (
    *("autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add", "color", "contrast"),
    *("brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    random = np.random.default_rng(5)
    return Image.fromarray(cv2.resize(random.integers(20, 235, (7, 7, 3), np.uint8), (SIZE, SIZE)))


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def apply_with_pillow(picture: Image.Image, operation: Operation) -> Image.Image:
    value, grey = operation.value, (128, 128, 128)
    affine = {
        "shear_x": (1, value, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, value, 1, 0),
        "translate_x": (1, 0, value * SIZE, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, value * SIZE),
    }
    if operation.name in affine:
        transform, resampling = Image.Transform.AFFINE, Image.Resampling.BICUBIC
        return picture.transform(picture.size, transform, affine[operation.name], resampling, fillcolor=grey)
    if operation.name == "rotate":
        return picture.rotate(value, Image.Resampling.BICUBIC, fillcolor=grey)
    enhance = {"color": "Color", "contrast": "Contrast", "brightness": "Brightness", "sharpness": "Sharpness"}
    if operation.name in enhance:
        return getattr(ImageEnhance, enhance[operation.name])(picture).enhance(value)
    if operation.name == "posterize":
        return ImageOps.posterize(picture, int(value))
    if operation.name == "solarize":
        return ImageOps.solarize(picture, int(value))
    if operation.name == "solarize_add":
        return picture.point([min(255, n + int(value)) if n < 128 else n for n in range(256)] * 3)
    return {"autocontrast": ImageOps.autocontrast, "equalize": ImageOps.equalize, "invert": ImageOps.invert}[
        operation.name
    ](picture)


@pytest.mark.parametrize("name", NAMES)
def test_each_operation_equals_that_of_pillow(picture: Image.Image, name: str) -> None:
    values = set()
    for position in range(400):
        operations = sample_augment(np.random.default_rng(position), AugmentConfig(), SIZE).operations
        for operation in operations:
            if operation.name == name and len(values) < 6:
                values.add(operation.value)
                augmented = apply_operation(operation, torch.stack([to_tensor(picture)] * 2))
                assert augmented.dtype == torch.uint8
                assert (augmented[0] == augmented[1]).all()
                difference = (augmented[0].int() - to_tensor(apply_with_pillow(picture, operation)).int()).abs()
                inner = difference[:, 4:-4, 4:-4].float()  # borders are Pillow's own
                assert inner.quantile(0.97) <= 2, f"{operation}: {inner.mean()}"
    assert values


def test_random_augmentation_follows_the_paper() -> None:
    samples = [sample_augment(np.random.default_rng(n), AugmentConfig(), SIZE) for n in range(3000)]
    assert {operation.name for params in samples for operation in params.operations} == set(NAMES)
    assert np.mean([len(params.operations) for params in samples]) == pytest.approx(2.0, abs=0.1)  # four, each with 0.5
    assert np.mean([params.flipped for params in samples]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([params.erased is not None for params in samples]) == pytest.approx(0.25, abs=0.03)
    areas = [params.crop.width * params.crop.height / SIZE**2 for params in samples]
    assert min(areas) == pytest.approx(0.08, abs=0.02)
    assert max(areas) > 0.9
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)
    for params in samples:
        for box in (params.crop, *([params.erased] if params.erased else [])):
            assert 0 <= box.left <= box.left + box.width <= SIZE
            assert 0 <= box.top <= box.top + box.height <= SIZE
    turns = [abs(op.value) for params in samples for op in params.operations if op.name == "rotate"]
    assert np.mean(turns) == pytest.approx(21, abs=0.5)  # magnitude 7 of 10 of 30 degrees
    repeated = sample_augment(np.random.default_rng(7), AugmentConfig(), SIZE)
    assert repeated == samples[7]
    assert not sample_augment(np.random.default_rng(7), AugmentConfig(layers=0), SIZE).operations


def test_a_mirrored_crop_is_the_mirror_image_of_the_crop(picture: Image.Image) -> None:
    frames = (to_tensor(picture).float() / 255)[None, :, None]
    boxes = [
        AugmentParams(
            operations=(),
            crop=Rectangle(left=10, top=20, width=40, height=60),
            flipped=mirrored,
            erased=None,
            erase_seed=0,
        ).box()
        for mirrored in (False, True)
    ]
    plain, mirrored = (resample_pixels(frames, torch.tensor([box]), 32) for box in boxes)
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=1e-5, rtol=0)
    theirs = torch.nn.functional.interpolate(frames[:, :, 0, 20:80, 10:50], (32, 32), mode="bilinear")
    torch.testing.assert_close(plain[:, :, 0, 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-4, rtol=0)


def test_erasing_puts_noise_only_inside_its_rectangle() -> None:
    frames = torch.zeros(3, 4, SIZE, SIZE)
    rectangle = Rectangle(left=5, top=50, width=30, height=20)
    erased = erase_rectangles(
        frames, AugmentParams(operations=(), crop=rectangle, flipped=False, erased=rectangle, erase_seed=9)
    )
    inside = erased[:, :, 50:70, 5:35]
    assert inside.std() == pytest.approx(1, abs=0.05)
    assert (erased != 0).sum() == inside.numel()
    assert (
        erased
        == erase_rectangles(
            frames, AugmentParams(operations=(), crop=rectangle, flipped=False, erased=rectangle, erase_seed=9)
        )
    ).all()
    assert (
        erase_rectangles(frames, AugmentParams(operations=(), crop=rectangle, flipped=False, erased=None, erase_seed=9))
        is frames
    )


def test_mixing_partners_are_neighbours_in_the_stream_in_any_world() -> None:
    assert [partner_position(n) for n in range(48, 56)] == [49, 48, 51, 50, 53, 52, 55, 54]
    sampler = FinetuningSampler(geometry=preset("nano").geometry)
    # Three clips a rank: the last clip of the first part is mixed with the first clip of the second.
    assert sampler.partner_positions(range(10, 13)) + sampler.partner_positions(range(13, 16)) == (
        11,
        10,
        13,
        12,
        15,
        14,
    )


def test_mixup_and_cutmix_agree_with_each_clip_by_hand() -> None:
    torch.manual_seed(0)
    video, other_video = torch.rand(3, 3, 2, SIZE, SIZE), torch.rand(3, 3, 2, SIZE, SIZE)
    sound, other_sound = torch.rand(3, 1000), torch.rand(3, 1000)
    cut = Rectangle(left=8, top=16, width=48, height=24)
    share = 1 - 48 * 24 / SIZE**2
    draws = [
        MixParams(share=0.3, rectangle=None, sound_at=0.5),
        MixParams(share=share, rectangle=cut, sound_at=0.5),
        MixParams(share=1.0, rectangle=None, sound_at=0.5),
    ]
    mixed_video = mix_video(video, other_video, draws)
    torch.testing.assert_close(mixed_video[0], 0.3 * video[0] + 0.7 * other_video[0])
    covered = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    covered[16:40, 8:56] = True
    assert (mixed_video[1] == torch.where(covered, other_video[1], video[1])).all()
    torch.testing.assert_close(mixed_video[2], video[2])
    mixed_sound = mix_audio(sound, other_sound, draws)
    torch.testing.assert_close(mixed_sound[0], 0.3 * sound[0] + 0.7 * other_sound[0])
    from_other = mixed_sound[1] == other_sound[1]
    assert from_other.sum() == round((1 - share) * 1000)
    assert (mixed_sound[1] == torch.where(from_other, other_sound[1], sound[1])).all()
    assert from_other.nonzero().diff(dim=0).eq(1).all(), "one stretch"
    torch.testing.assert_close(mixed_sound[2], sound[2])


def test_mixed_targets_follow_the_shares() -> None:
    hot = smooth_labels(torch.tensor([0, 2]), 4, 0.1)
    torch.testing.assert_close(hot, torch.tensor([[0.925, 0.025, 0.025, 0.025], [0.025, 0.025, 0.925, 0.025]]))
    mixed = mix_targets(hot[:1], hot[1:], [MixParams(share=0.25, rectangle=None, sound_at=0.0)])
    torch.testing.assert_close(mixed, torch.tensor([[0.25, 0.025, 0.7, 0.025]]))


def test_mixing_follows_the_configured_probabilities() -> None:
    def draw_mixes(**config: float) -> list[MixParams]:
        return [sample_mix(np.random.default_rng(n), MixConfig(**config), SIZE) for n in range(2000)]

    mixes = draw_mixes()
    assert np.mean([mix.rectangle is not None for mix in mixes]) == pytest.approx(0.5, abs=0.04)
    # Mixup leaves 1/2 on average; a box of side s = sqrt(u), cut off at the border, covers (s - s^2/4)^2: 0.321.
    assert np.mean([mix.share for mix in mixes]) == pytest.approx((0.5 + 0.679) / 2, abs=0.02)
    for mix in mixes:
        if mix.rectangle:
            assert mix.share == 1 - mix.rectangle.width * mix.rectangle.height / SIZE**2
    assert all(mix.rectangle is None for mix in draw_mixes(cutmix=0))
    assert all(mix.rectangle is not None for mix in draw_mixes(mixup=0))
    assert (
        {mix.share for mix in draw_mixes(mixup=0, cutmix=0)}
        == {1.0}
        == {mix.share for mix in draw_mixes(probability=0)}
    )


def test_colour_jitter_changes_three_colours_within_its_reach_and_shifts_no_other_number() -> None:
    plain, jittered = (
        [sample_augment(np.random.default_rng(seed), AugmentConfig(colour_jitter=reach), SIZE) for seed in range(200)]
        for reach in (0.0, 0.4)
    )
    orders = set()
    for without, with_jitter in zip(plain, jittered, strict=True):
        count = len(without.operations)
        assert replace(with_jitter, operations=with_jitter.operations[:count]) == without
        added = with_jitter.operations[count:]
        assert sorted(each.name for each in added) == ["brightness", "color", "contrast"]
        assert all(0.6 <= each.value <= 1.4 for each in added)
        orders.add(tuple(each.name for each in added))
    assert len(orders) == 6
    values = [each.value for params in jittered for each in params.operations[-3:]]
    assert min(values) < 0.65
    assert max(values) > 1.35
