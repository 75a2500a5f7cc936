"""The twelve random changes of SUN's pictures: what each does, how often, and that a position alone decides."""

import io

import numpy as np
import pytest
from avf_shards.errors import UserError
from avf_shards.sampling.stream_order import position_random
from avf_training.data.ordered_stream import StreamPosition
from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.pictures.augment_config import PictureChanges
from avf_training.framewise.pictures.changes import change_picture, list_changes
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.stream import LabellingSampler
from PIL import Image

NAMES = (
    *("pad", "grayscale", "colour", "noise", "perspective", "rotation"),
    *("crop", "posterize", "sharpness", "equalize", "horizontal_flip", "vertical_flip"),
)
SIDE_PX = 64


def draw_ramps() -> np.ndarray:
    """Return a picture without symmetry: 80 x 60, brighter to the right, redder downwards, with a dark corner."""
    picture = np.zeros((80, 60, 3), np.uint8)
    picture[..., 1] = np.linspace(60, 200, 60).astype(np.uint8)
    picture[..., 0] = np.linspace(40, 250, 80).astype(np.uint8)[:, None]
    picture[:10, :10] = 5
    return picture


def change(name: str, seed: int, noise: str = "noise") -> tuple[np.ndarray, np.ndarray]:
    """Return the square picture before and after one change."""
    config = PictureChanges(probability=0.05, noise="noise" if noise == "noise" else "blur")
    square = letterbox(draw_ramps(), SIDE_PX)
    changed = list_changes(config)[name](Image.fromarray(square), np.random.default_rng(seed))
    return square, np.asarray(changed)


@pytest.mark.parametrize("name", [*NAMES, "blur"])
def test_a_change_keeps_the_size_and_depends_on_its_numbers_alone(name: str) -> None:
    noise = "blur" if name == "blur" else "noise"
    pictures = [change(name, seed, noise)[1] for seed in range(12)]
    assert {(each.shape, each.dtype.name) for each in pictures} == {((SIDE_PX, SIDE_PX, 3), "uint8")}
    assert np.array_equal(pictures[3], change(name, 3, noise)[1])
    before = change(name, 0, noise)[0]
    assert any(not np.array_equal(each, before) for each in pictures)
    different = len({each.tobytes() for each in pictures})
    if name in ("grayscale", "equalize", "horizontal_flip", "vertical_flip"):
        assert different == 1
    else:
        assert different >= 3


def test_changes_do_what_their_names_say() -> None:
    before, gray = change("grayscale", 0)
    assert np.array_equal(gray[..., 0], gray[..., 2])
    assert np.array_equal(change("horizontal_flip", 0)[1], before[:, ::-1])
    assert np.array_equal(change("vertical_flip", 0)[1], before[::-1])
    levels = {len(np.unique(change("posterize", seed)[1])) for seed in range(30)}
    assert {2, 4} <= levels, "one or two bits"
    assert max(levels) > 4, "half of the pictures are left"
    equalized = change("equalize", 0)[1]
    assert equalized[..., 1].std() > before[..., 1].std()
    inside = before[..., 1] > 50
    noise = (change("noise", 1)[1].astype(float) - before)[inside, 1]
    assert abs(noise.mean()) < 1
    assert 0.01 * 255 * 0.8 < noise.std() < 0.1 * 255 * 1.2
    assert (
        np.abs(np.diff(change("blur", 0, "blur")[1].astype(int), axis=0)).max()
        < np.abs(np.diff(before.astype(int), axis=0)).max()
    )


def test_padding_moves_a_picture_and_cropping_enlarges_it() -> None:
    before, moved = change("pad", 5)
    rows, columns = (np.flatnonzero(moved.any(2).any(axis)) for axis in (1, 0))
    inside = moved[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    offsets = [(y, x) for y in range(SIDE_PX) for x in range(SIDE_PX) if np.array_equal(before[y, x], inside[0, 0])]
    height, width = inside.shape[:2]
    assert any(np.array_equal(before[y : y + height, x : x + width], inside) for y, x in offsets)
    for seed in range(8):
        enlarged = change("crop", seed)[1]
        steps = np.diff(enlarged[SIDE_PX // 2, 20:44, 1].astype(float)).mean()
        assert 1 < np.diff(before[SIDE_PX // 2, 20:44, 1].astype(float)).mean() / steps < 1 / 0.65


def test_forty_six_of_a_hundred_pictures_are_changed() -> None:
    picture = draw_ramps()
    config = PictureChanges(probability=0.05, noise="noise")
    whole = np.ascontiguousarray(letterbox(picture, SIDE_PX).transpose(2, 0, 1))
    changed = [
        not np.array_equal(change_picture(picture, SIDE_PX, config, position_random("picture", number)), whole)
        for number in range(600)
    ]
    # Half of what is drawn to lose bits is left, so that a little less than 1 - .95^12 are changed.
    assert np.mean(changed) == pytest.approx(1 - 0.95**11 * 0.975, abs=0.04)
    never = PictureChanges(probability=0.0, noise="noise")
    assert np.array_equal(change_picture(picture, SIDE_PX, never, position_random("picture", 1)), whole)


def test_a_position_alone_decides() -> None:
    file = io.BytesIO()
    Image.fromarray(draw_ramps()).save(file, "PNG")
    files = {"picture": file.getvalue(), "labels": np.zeros(2, np.float32).tobytes()}
    sampler = LabellingSampler(size_px=SIDE_PX, augment=PictureChanges(probability=0.5, noise="blur"))
    positions = [StreamPosition(digest="run", epoch=number // 4, position=number % 4) for number in range(8)]
    forwards = [sampler.sample(files, each)[0] for each in positions]
    backwards = [sampler.sample(files, each)[0] for each in reversed(positions)][::-1]
    assert all(map(np.array_equal, forwards, backwards))
    assert len({each.tobytes() for each in forwards}) == 8


def test_the_protocol_chooses_between_noise_and_blur() -> None:
    for protocol, name in (("ours", "noise"), ("authors_code", "blur")):
        options = load_image_finetune_recipe("sun_b1", (f"protocol={protocol}",)).options()
        changes = list_changes(PictureChanges(probability=0.05, noise=options.noise_augmentation))
        assert list(changes)[3] == name
        assert len(changes) == 12


def test_a_setting_of_the_other_networks_is_refused() -> None:
    with pytest.raises(UserError, match=r"augment is of ViT; .* by static\.change_probability"):
        load_image_finetune_recipe("sun_b1", ("augment.flip=0.5",))
    with pytest.raises(UserError, match=r"change_probability 2\.0 must lie between 0 and 1"):
        load_image_finetune_recipe("sun_b1", ("static.change_probability=2",))
