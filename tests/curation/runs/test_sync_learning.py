"""A sync network is learnt from the kept clips of a run, and the next run measures with it."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.detectors import sync_calibration, sync_training, weights
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.sync_calibration import LearningClip
from avf_curation.detectors.sync_head_file import HEAD_FILE, read_head
from avf_curation.detectors.sync_training import Talk
from avf_curation.detectors.weights import short_digest
from avf_curation.media.types import Bytes, Samples
from avf_curation.runs import sync_learning
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import EMBEDDED, make_recipe
from support.runs import make_inputs
from support.stages import single_step
from support.talks import keep_drawn_talker

RECIPE = make_recipe("silence.speech_backend=none")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run of six drawn talkers with a clip of five seconds each."""
    folder = tmp_path_factory.mktemp("talkers")
    source = make_inputs(folder / "in", 6)
    options = RunOptions(engine="inline", stages=single_step(keep_drawn_talker))
    return curate(RECIPE, EMBEDDED, {"made": source}, folder / "run", options)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a network be learnt from seconds of clips, in four steps: drawn talkers need none."""
    monkeypatch.setattr(sync_learning, "LEAST_S", 20.0)
    monkeypatch.setattr(sync_training, "STEPS", 4)


@pytest.mark.usefixtures("short")
def test_a_run_takes_what_was_learnt_from_the_run_before(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    assert main(["learn-sync", str(run.root), "--weights", str(folder), "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)
    card = read_head(folder / HEAD_FILE).card
    assert (card.clips, card.people, card.seconds, card.sources) == (6, 6, 30.0, ("made",))
    assert (answer["sha256"], answer["card"]["unit"]) != ("", 0)
    assert [line["length_s"] for line in answer["figures"]] == [3, 5]
    assert card.right_share >= sync_calibration.RIGHT_SHARE

    main(["learn-sync", str(run.root), "--out", str(tmp_path / "second"), "--weights", str(folder)])
    assert "learnt from 6 clips, 30 s, of 6 people, by the lips; on people held out:" in capsys.readouterr().out
    assert (tmp_path / "second").read_bytes() == (folder / HEAD_FILE).read_bytes()

    source = tmp_path / "in"
    source.mkdir()
    shot = ShotScript(frames=150, speakers=(9,), seed=4, sound_shift=3)
    (source / "late.mp4").write_bytes(encode_video(VideoScript(shots=(shot,))))
    backends = resolve_backends(make_recipe("silence.speech_backend=none", "sync.backend=auto"), folder)
    later = curate(RECIPE, backends, {"s": source}, tmp_path / "run", RunOptions(engine="inline"))
    (decision,) = [d for d in table_to_decisions(later.ledger()) if "sync" in json.loads(d.measurements)]
    measured = json.loads(decision.measurements)["sync"]
    assert (measured["backend"], measured["offset_frames"]) == ("learned", -3)
    assert [check.setting for check in decision.checks if check.reason == "offset"] == [
        "sync.learned_max_offset_frames"
    ]


class _SeesOpening:
    """Stands in for LR-ASD: its values are how dark the mouth is in each frame, with noise of their own."""

    def embed_span(self, grey_THW: np.ndarray) -> np.ndarray:
        assert grey_THW.shape[1:] == (112, 112)
        dark_T = 255 - grey_THW[:, 56:96, 32:80].mean(axis=(1, 2))
        noise_TV = np.random.default_rng(len(grey_THW)).normal(0, 0.1, (len(grey_THW), 128))
        return (dark_T[:, None] * np.linspace(0.5, 1, 128) + noise_TV).astype(np.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_where_the_weights_of_lr_asd_are_the_network_reads_its_embeddings_too(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker_file = tmp_path / "lr_asd.model"
    speaker_file.write_bytes(b"weights of LR-ASD")
    monkeypatch.setattr(weights, "find_weight", lambda name, folder: (None, speaker_file))
    monkeypatch.setattr(sync_learning, "_load_lr_asd", lambda path: _SeesOpening() if path else None)

    def learn(name: str, *words: str) -> Path:
        out = tmp_path / name
        assert main(["learn-sync", str(run.root), "--out", str(out), *words]) == 0
        return out

    first, second = learn("first"), learn("second", "--view", "lips+speaker")
    assert "by the lips and LR-ASD's embedding of the face; on people held out" in capsys.readouterr().out
    assert first.read_bytes() == second.read_bytes()
    card = read_head(first).card
    assert (card.lr_asd, card.people) == (short_digest(speaker_file), 6)
    assert card.right_share >= sync_calibration.RIGHT_SHARE
    lips = learn("lips", "--view", "lips")
    assert "of 6 people, by the lips; on people held out" in capsys.readouterr().out
    assert read_head(lips).card.lr_asd is None


def test_embeddings_that_are_asked_for_without_weights_are_refused(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["learn-sync", str(run.root), "--weights", str(tmp_path), "--view", "lips+speaker"]
    assert main(words) == 2
    assert "--view: lips+speaker needs lr_asd_finetuning_TalkSet.model in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no mouth: only which clips are read is asked."""

    def make_clip(
        mesh: object, frames: list[Bytes], samples: Samples, source: str, person: str, *, embeddings_TV: object
    ) -> LearningClip:
        talk = Talk(distances_TD=np.zeros((len(frames), 11), np.float32), samples=samples)
        patches = np.zeros((1, 1, 1, 3), np.uint8)
        return LearningClip(
            source=source, person=person, talk=talk, measured_TD=talk.distances_TD, patches_THWC=patches
        )

    monkeypatch.setattr(sync_learning, "learning_clip", make_clip)


@pytest.mark.usefixtures("short", "unmeasured")
def test_the_choice_of_clips_depends_on_the_seed_and_the_minutes_alone(run: RunFolder) -> None:
    def choose(minutes: float, seed: int) -> list[str]:
        options = sync_learning.LearningOptions(minutes=minutes, seed=seed)
        return [clip.person for clip in sync_learning.read_learning_clips(run, options, lambda text: None)]

    assert choose(0.34, 0) == choose(0.34, 0) == choose(0.5, 0)[:5]
    assert len({tuple(choose(0.34, seed)) for seed in range(4)}) > 1


@pytest.mark.usefixtures("unmeasured")
def test_too_few_clips_are_told(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 30 s of kept clips of 3 s and more, and 60 s are needed"):
        sync_learning.learn_sync(run, tmp_path / "head", sync_learning.LearningOptions())
    assert not (tmp_path / "head").exists()


def test_options_out_of_range_are_told(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["--minutes", "0.5"],
        ["--minutes", "nan"],
        ["--minutes", "inf"],
        ["--seed", "-1"],
        ["--seed", "9" * 23],
    ):
        assert main(["learn-sync", str(run.root), *words]) == 2
        assert " ".join(words) in capsys.readouterr().err


def _refuse_writing(path: Path, mode: int) -> bool:
    return not mode & os.W_OK


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_cannot_be_written_is_told_before_the_training(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    monkeypatch.setattr(sync_learning, "learn_sync", lambda *arguments: pytest.fail("it began to learn"))
    folder = tmp_path / "weights"
    if exists:
        folder.mkdir()
    (tmp_path / "notes").write_text("a file")
    assert main(["learn-sync", str(run.root), "--weights", str(tmp_path / "notes" / "weights")]) == 2
    assert "the network cannot be stored: " in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", _refuse_writing)
        assert main(["learn-sync", str(run.root), "--weights", str(folder)]) == 2
    assert f"the network cannot be stored: {folder} cannot be written: no permission" in capsys.readouterr().err
    folder.mkdir(exist_ok=True)
    (folder / HEAD_FILE).write_text("a file of others")
    assert main(["learn-sync", str(run.root), "--weights", str(folder)]) == 2
    assert f"{folder / HEAD_FILE}: is there already and is not a sync network" in capsys.readouterr().err


@pytest.mark.usefixtures("short", "unmeasured")
def test_a_damaged_clip_is_named(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = RunFolder(shutil.copytree(run.root, tmp_path / "run"))
    for part in copy.root.rglob("clips.tar"):
        part.write_bytes(part.read_bytes().replace(b"moov", b"free"))
    assert main(["learn-sync", str(copy.root), "--out", str(tmp_path / "head")]) == 1
    error = capsys.readouterr().err
    assert "clips.tar" in error
    assert "Traceback" not in error
    assert not (tmp_path / "head").exists()
