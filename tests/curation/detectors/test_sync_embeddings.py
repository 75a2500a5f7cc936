"""A sync network that reads LR-ASD's embedding of the face tells offsets by it, and says which weights it needs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.detectors import optional_networks
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.face_components import AXES, COMPONENTS, fit_components
from avf_curation.detectors.sync_calibration import BLANK, LearningClip, score_pieces
from avf_curation.detectors.sync_head import SyncHead
from avf_curation.detectors.sync_head_file import CARD_KEY, HEAD_FILE, HeadCard, SyncHeadFile, read_head, write_head
from avf_curation.detectors.sync_training import train_towers
from avf_curation.detectors.weights import short_digest
from avf_curation.runs.identity import run_identity
from avf_shards.errors import FaultError, UserError
from safetensors.numpy import load, save
from support.curation_runs import make_recipe
from support.talks import make_talk, with_embeddings

RECIPE = make_recipe("sync.backend=learned", "speaker.backend=none")
LR_ASD = b"weights of LR-ASD"


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return train_towers([with_embeddings(make_talk(number), number) for number in range(8)], seed=3, steps=50)


@pytest.fixture
def speaker_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that stands for the weights of LR-ASD, in a folder where runs look for them."""
    path = tmp_path / "lr_asd.model"
    path.write_bytes(LR_ASD)

    def find(name: str, folder: Path) -> tuple[SimpleNamespace, Path] | None:
        return (SimpleNamespace(backend="lr-asd"), path) if name == "lr_asd" and path.is_file() else None

    monkeypatch.setattr(optional_networks, "find_weight", find)
    return path


@pytest.fixture
def head_file(weights: dict[str, np.ndarray], speaker_file: Path) -> Path:
    path = speaker_file.with_name(HEAD_FILE)
    write_head(path, SyncHeadFile(weights=weights, card=replace(BLANK, lr_asd=short_digest(speaker_file))))
    return path


@pytest.mark.parametrize("shift", [-9, 0, 4])
def test_an_offset_is_told_by_the_embeddings_where_the_distances_are_noise(head_file: Path, shift: int) -> None:
    head, talk = SyncHead.from_file(head_file), with_embeddings(make_talk(20, 200), 20)
    samples = np.roll(talk.samples, -shift * 640)
    score = head.score(talk.distances_TD, samples, np.zeros(31), 1.0, 15, embeddings_TV=talk.embeddings_TV)
    assert (score.offset, score.confidence > 1) == (shift, True)
    with pytest.raises(ValueError, match="reads embeddings of the face, and none are given"):
        head.score(talk.distances_TD, samples, np.zeros(31), 1.0, 15)


def test_pieces_of_a_clip_are_scored_by_their_own_embeddings(weights: dict[str, np.ndarray]) -> None:
    talk = with_embeddings(make_talk(20, 200), 20)
    patches = np.random.default_rng(0).integers(0, 256, (200, 20, 32, 3), dtype=np.uint8)
    clip = LearningClip(source="s", person="p", talk=talk, measured_TD=talk.distances_TD, patches_THWC=patches)
    head = SyncHead(SyncHeadFile(weights=weights, card=replace(BLANK, lr_asd="0" * 16)))
    pieces = list(score_pieces(head, clip, 0, 0))
    assert {piece.length_s for piece in pieces} == {3, 5, 8}
    right = [abs(int(np.argmax(piece.likeness_S)) - 15 - piece.true_offset) <= 2 for piece in pieces]
    assert np.mean(right) > 0.8, "the distances alone are right by chance, in a sixth"


def test_the_same_talks_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    talks = [with_embeddings(make_talk(number), number) for number in range(3)]
    card = replace(BLANK, lr_asd="0123456789abcdef")
    digests = [
        write_head(tmp_path / name, SyncHeadFile(weights=train_towers(talks, seed, steps=3), card=card))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert digests[0] == digests[1] != digests[2]
    assert read_head(tmp_path / "a").card == card


def test_a_network_that_reads_the_lips_alone_says_nothing_of_lr_asd() -> None:
    assert "lr_asd" not in json.loads(BLANK.to_json())
    assert json.loads(replace(BLANK, lr_asd="0" * 16).to_json())["lr_asd"] == "0" * 16


def test_components_have_deviation_1_and_noise_is_not_made_as_large() -> None:
    draw = np.random.default_rng(0)
    hidden_TV = draw.normal(0, 1, (300, 6)) @ draw.normal(0, 3, (6, 128))
    embeddings_TV = (5 + hidden_TV + draw.normal(0, 1e-6, hidden_TV.shape)).astype(np.float32)
    components_TK = fit_components([embeddings_TV[:100], embeddings_TV[100:]]).project(embeddings_TV)
    assert components_TK.shape == (300, COMPONENTS)
    np.testing.assert_allclose(components_TK[:, :6].std(axis=0), 1, rtol=1e-3)
    assert np.abs(components_TK[:, 6:]).max() < 0.01


def _without_card_field(weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], HeadCard]:
    return weights, BLANK


def _without_axes(weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], HeadCard]:
    return {name: value for name, value in weights.items() if name != AXES}, replace(BLANK, lr_asd="0" * 16)


def _huge_axes(weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], HeadCard]:
    return weights | {AXES: weights[AXES] * np.float32(1e30)}, replace(BLANK, lr_asd="0" * 16)


def _bad_digest(weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], HeadCard]:
    return weights, replace(BLANK, lr_asd="../../etc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_card_field, "has other tensors"),
        (_without_axes, "has other tensors"),
        (_huge_axes, "as its largest weight"),
        (_bad_digest, "not the start of a SHA-256"),
    ],
)
def test_a_card_and_tensors_that_do_not_belong_together_are_refused(
    head_file: Path,
    change: Callable[[dict[str, np.ndarray]], tuple[dict[str, np.ndarray], HeadCard]],
    message: str,
) -> None:
    tensors, card = change(load(head_file.read_bytes()))
    with pytest.raises(FaultError, match=message):
        write_head(head_file, SyncHeadFile(weights=tensors, card=card))
    head_file.write_bytes(save(tensors, {CARD_KEY: card.to_json()}))
    with pytest.raises(UserError, match=rf"is not a sync network of avf-curate learn-sync \(.*{message}"):
        read_head(head_file)


def test_a_run_takes_the_weights_that_the_network_reads_by_though_nobody_asks_who_speaks(
    head_file: Path, speaker_file: Path
) -> None:
    choice = resolve_backends(RECIPE, head_file.parent)
    assert choice.weights == {"sync_head": head_file, "lr_asd": speaker_file}
    assert (choice.names()["sync"], choice.names()["speaker"]) == ("learned", "none")
    assert choice.weight_digests()["lr_asd"] == short_digest(speaker_file)
    write_head(head_file, SyncHeadFile(weights=train_towers([make_talk(0)], 0, steps=1), card=BLANK))
    lips = resolve_backends(RECIPE, head_file.parent)
    assert lips.weights == {"sync_head": head_file}
    assert run_identity(RECIPE, choice, ["s"]).fingerprint != run_identity(RECIPE, lips, ["s"]).fingerprint


def test_missing_or_other_weights_of_lr_asd_are_refused(head_file: Path, speaker_file: Path) -> None:
    digest = short_digest(speaker_file)
    speaker_file.write_bytes(b"other weights")
    others = rf"reads embeddings by the LR-ASD weights {digest}\.\.\., and .* has the weights .*\.\.\.; put them there"
    with pytest.raises(UserError, match=others):
        resolve_backends(RECIPE, head_file.parent)
    speaker_file.unlink()
    with pytest.raises(UserError, match=r"has no LR-ASD weights; put them there .*or learn a network with") as caught:
        resolve_backends(RECIPE, head_file.parent)
    assert "\n" not in str(caught.value)
    envelope = make_recipe("sync.backend=envelope", "speaker.backend=none")
    assert resolve_backends(envelope, head_file.parent).weights == {}


def test_a_run_that_asks_for_no_sync_needs_no_network_of_it(head_file: Path, speaker_file: Path) -> None:
    """As `avf-curate clip` is: a network that another machine learnt must not stop it."""
    skipped = ("gates.sync=skip", "sync.backend=learned", "speaker.backend=none")
    speaker_file.unlink()
    for content in (head_file.read_bytes(), b"damaged"):
        head_file.write_bytes(content)
        backends = resolve_backends(make_recipe(*skipped), head_file.parent)
        assert backends.weights == {}
    with pytest.raises(UserError, match="is not a sync network"):
        resolve_backends(make_recipe(*skipped, "sources.a.gates.sync=measure"), head_file.parent)


def test_the_commands_of_weights_know_the_network_that_was_learnt(
    head_file: Path, speaker_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--weights", str(head_file.parent)]
    assert main(["weights", "ls", *folder]) == main(["weights", "verify", *folder]) == 0
    out = capsys.readouterr().out
    assert f"{HEAD_FILE}, sha256 {short_digest(head_file)}" in out
    assert "sync_head             as learn-sync wrote it" in out
    speaker_file.unlink()
    assert main(["weights", "verify", *folder]) == 2
    assert "no LR-ASD weights" in capsys.readouterr().err
    head_file.write_bytes(head_file.read_bytes()[:1000])
    assert main(["weights", "verify", *folder]) == 2
    assert "is not a sync network of avf-curate learn-sync" in capsys.readouterr().err
    assert main(["weights", "ls", *folder]) == 0, "it lists what is there"
