"""What extractors compute of pictures and sound, with tiny random weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.data.storage import StorageConfig
from avf_training.framewise.tracks import picture_extractors, speech_extractors
from avf_training.framewise.tracks.extractor_names import EXTRACTORS
from avf_training.framewise.tracks.footage import ClipFootage
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.framewise.tracks.sound_files import SoundFootage
from avf_training.framewise.tracks.speech_extractors import SpeechExtractor
from avf_training.tasks.labelled_shards import LabelledShards
from safetensors.torch import save_file
from support.labelled import FRAMES
from support.tiny_extractors import MAKERS, save_hubert, save_pdem, save_static, save_vggish, save_vit, tiny_vit


def first_clip(shards: Path) -> ClipFootage:
    """The first clip of shards."""
    return ClipFootage(files=LabelledShards([shards], StorageConfig()).read(0))


class TwoPictures(ClipFootage):
    """The first two pictures of a clip."""

    def pictures(self, size_px: int, device: torch.device) -> Iterator[torch.Tensor]:
        assert size_px == 240
        yield next(super().pictures(size_px, device))[:2]


def test_an_embedding_of_sun_has_256_values_within_1(shards: Path, tmp_path: Path) -> None:
    extractor = load_extractor("efficientnet_b1", save_static(tmp_path / "b1.safetensors"))
    vectors = extractor.extract(TwoPictures(files=first_clip(shards).files)).vectors_RD
    assert vectors.shape == (2, 256)
    assert 0 < np.abs(vectors).max() <= 1


def test_tracks_of_another_preparation_of_pictures_are_of_another_extractor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = save_vit(tmp_path / "vit")
    before = load_extractor("vit", weights).identity
    assert '"picture_preparation": 2' in before.settings
    monkeypatch.setattr(picture_extractors, "PICTURE_PREPARATION", 3)
    assert load_extractor("vit", weights).identity.digest != before.digest


def test_whitened_sound_is_in_255ths(shards: Path, tmp_path: Path) -> None:
    vectors = load_extractor("vggish", save_vggish(tmp_path / "v.safetensors", True)).extract(first_clip(shards))
    levels = vectors.vectors_RD * 255
    assert levels == pytest.approx(levels.round(), abs=1e-4)
    assert vectors.vectors_RD.min() >= 0


def test_every_extractor_is_tried_or_shares_its_code_with_one_that_is() -> None:
    others = {"efficientnet_b1", "efficientnet_b4", "vit_b_16", "hrnet_w32", "mouth", "speech", "log_mel"}
    assert EXTRACTORS.keys() == MAKERS.keys() | others


def test_the_spectrum_of_a_frame_is_that_of_the_sound_in_it() -> None:
    """A tone of 440 Hz in the second second alone: its band is loud from frame 25 to 49, and nowhere else."""
    seconds = np.arange(3 * 16_000) / 16_000
    wave = np.where((seconds >= 1) & (seconds < 2), 0.5 * np.sin(2 * np.pi * 440 * seconds), 0.0)
    footage = SoundFootage(wave_S=wave.astype(np.float32), rate=25.0)
    vectors_ND = load_extractor("log_mel", None).extract(footage).vectors_RD
    assert vectors_ND.shape == (75, 64)
    loud_N = vectors_ND.max(1) > 2
    assert np.flatnonzero(loud_N).tolist() == list(range(25, 50))
    edges_mel = np.linspace(*(1127 * np.log1p(np.array([125.0, 7500.0]) / 700)), 66)
    centres_hz = 700 * np.expm1(edges_mel[1:-1] / 1127)
    assert abs(centres_hz[vectors_ND[37].argmax()] - 440) < 40


@pytest.mark.parametrize(("name", "weights"), [("log_mel", Path("some.pt")), ("vggish", None)])
def test_weights_are_given_where_there_are_some(name: str, weights: Path | None) -> None:
    with pytest.raises(UserError, match=r"--weights: log_mel has no weights|--weights is missing: vggish needs"):
        load_extractor(name, weights)


def test_a_picture_extractor_sees_the_pictures_one_by_one(shards: Path, tmp_path: Path) -> None:
    """Batches change nothing: each vector is that of its picture alone."""
    extractor = load_extractor("vit", save_vit(tmp_path / "vit"))
    clip = first_clip(shards)
    vectors = extractor.extract(clip).vectors_RD
    model = tiny_vit()
    pictures = torch.cat(list(clip.pictures(32, torch.device("cpu"))))
    assert pictures.shape == (FRAMES, 3, 32, 32)
    with torch.no_grad():
        single = torch.cat([model.features(picture[None]) for picture in pictures])
    assert vectors == pytest.approx(single.numpy(), abs=1e-5)


def test_long_sound_is_cut_into_chunks_that_stay_on_the_clock(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of half a second has 24 states, not 25; still no second lies elsewhere than the one before."""

    wave = np.zeros(160_000, np.float32)
    wave[80_000:] = np.random.default_rng(0).standard_normal(80_000)
    extractor = load_extractor("hubert", save_hubert(tmp_path / "hubert"))
    assert isinstance(extractor, SpeechExtractor)
    monkeypatch.setattr(speech_extractors, "CHUNK_SAMPLES", 8_000)
    vectors = extractor.extract(SoundFootage(wave_S=wave, rate=25.0)).vectors_RD
    assert vectors.shape == (250, 32)
    seconds = vectors.reshape(10, 25, 32)
    assert seconds[1:5] == pytest.approx(np.repeat(seconds[:1], 4, 0), abs=1e-5), "seconds of silence are alike"
    assert np.abs(seconds[5] - seconds[4]).max(1).min() > 1e-3, "noise from second five on"


def test_sound_that_is_too_short_gives_zeros(tmp_path: Path) -> None:
    sound = SoundFootage(wave_S=np.zeros(300, np.float32), rate=160.0)  # three frames
    for name, save in (("hubert", save_hubert), ("vggish", lambda path: save_vggish(path, False))):
        extractor = load_extractor(name, save(tmp_path / f"{name}.safetensors"))
        vectors = extractor.extract(sound).vectors_RD
        assert vectors.shape[0] == 3
        assert not vectors.any()
    pdem = load_extractor("pdem_v3", save_pdem(tmp_path / "pdem", "pdem_v3"))
    assert pdem.extract(sound).rows_R.tolist() == [0]


def test_weights_of_another_network_are_named_in_a_few_lines(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    for name in ("wav2vec2", "efficientnet_b1", "pdem_v1"):
        with pytest.raises(UserError, match=r"  and [0-9,]+ more; are the weights of another network") as caught:
            load_extractor(name, tmp_path / "other.safetensors")
        lines = str(caught.value).splitlines()
        assert [line.split(":")[0] for line in lines[1:-1]] == [*["  missing"] * 5, "  unknown"], name
