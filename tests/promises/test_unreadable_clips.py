"""A clip that cannot be read is named, recorded and replaced by the same clip for any number of ranks."""

import json
import shutil
from pathlib import Path

import pytest
from avf_shards.errors import FaultError, UserError
from avf_shards.format import index
from avf_training.data.storage import StorageConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.mask_sampling import paper_masks
from avf_training.pretraining.validation import ValidationClips
from support.clips import make_flashing_shards
from support.streams import MODEL, make_stream_loader, pretraining_sampler


@pytest.fixture(scope="module")
def original_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("faults"), {"a": 60, "b": 8}, clips_per_shard=10)


@pytest.fixture
def shards(original_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original_shards, tmp_path / "shards"))


def shard_members(shards: Path, shard: str) -> dict[str, index.Member]:
    return {member.name: member for member in index.load_index(index.sidecar_path(shards / shard)).members}


def flip_byte(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def read_stream(shards: Path, world: int = 1, **settings: object) -> tuple[list[str], list[dict[str, object]]]:
    """(keys of one epoch in order, the quarantine)."""
    quarantine = shards.parent / f"quarantine-{world}.jsonl"
    more = {"epochs": 1, "max_fault_share": 1.0, "quarantine": quarantine} | settings
    ranks = [
        make_stream_loader(shards, pretraining_sampler(), 4, world=world, rank=rank, **more) for rank in range(world)
    ]
    keys = [key for step in zip(*ranks, strict=True) for batch in step for key in batch.keys]
    lines = quarantine.read_text().splitlines()
    return keys, [json.loads(line) for line in lines]


def find_victim(shards: Path) -> tuple[str, index.Member]:
    """The video of the fourth clip of the first shard."""
    names = [name for name in shard_members(shards, "a-000000.tar") if name.endswith(".mp4")]
    return names[3].split(".")[0], shard_members(shards, "a-000000.tar")[names[3]]


def test_undamaged_shards_have_no_quarantine(shards: Path) -> None:
    keys, faults = read_stream(shards)
    assert len(set(keys)) == 68
    assert not faults


@pytest.mark.parametrize("fault", ["header", "payload", "length of the header"])
def test_a_flipped_byte_costs_one_clip(shards: Path, fault: str) -> None:
    key, member = find_victim(shards)
    offset = {"header": -512, "payload": member.size // 2, "length of the header": -512 + 125}[fault]
    flip_byte(shards / "a-000000.tar", member.offset + offset)
    keys, faults = read_stream(shards)
    # More than one line where it was drawn to stand in for itself.
    assert {(f["source"], f["shard"], f["key"]) for f in faults} == {("a", "a-000000.tar", key)}
    assert len({f["position"] for f in faults}) == 1
    assert all(key in str(f["error"]) and "damaged" in str(f["error"]) for f in faults)
    assert key not in keys
    assert len(keys) == 68
    assert len(set(keys)) == 67
    two_rank_keys, two_rank_faults = read_stream(shards, world=2)
    assert two_rank_keys == keys, "the substitute is the same in any world"
    assert [f["position"] for f in two_rank_faults] == [f["position"] for f in faults]


@pytest.mark.parametrize("cut", ["member boundary", "header", "payload"])
def test_clips_of_a_truncated_shard_are_replaced_and_reported(shards: Path, cut: str) -> None:
    _, member = find_victim(shards)
    stop = {"member boundary": member.offset - 512, "header": member.offset - 200, "payload": member.offset + 50}[cut]
    path = shards / "a-000000.tar"
    path.write_bytes(path.read_bytes()[:stop])
    keys, faults = read_stream(shards)
    assert len(keys) == 68
    assert len(faults) >= 10
    assert all("a-000000.tar" in str(f["error"]) and "truncated" in str(f["error"]) for f in faults)
    assert {f["source"] for f in faults} == {"a"}


def test_a_source_without_its_shard_or_index_stops_the_run(shards: Path) -> None:
    (shards / "b-000000.tar").unlink()
    with pytest.raises(FaultError, match="8 clips in a row are unreadable"):
        read_stream(shards)
    shutil.copy(shards / "a-000000.tar", shards / "b-000000.tar")
    (shards / "b-000000.index.json").unlink()
    with pytest.raises(FaultError, match="8 clips in a row are unreadable"):
        read_stream(shards)


def test_too_many_faults_stop_the_run_with_the_table(shards: Path) -> None:
    path = shards / "a-000001.tar"
    path.write_bytes(path.read_bytes()[:-3000])
    table = r"(?s)more than 1.0% of a cannot be read; each is in .*\n  a: 10 of \d+ clips"
    with pytest.raises(FaultError, match=table):
        read_stream(shards, max_fault_share=0.01)


def test_the_fault_share_counts_all_delivered_clips_after_a_resume(shards: Path) -> None:
    """Ten faults of a in each epoch of 60 clips are less than a third; a resume must not forget the other clips."""
    path = shards / "a-000001.tar"
    names = [name for name in shard_members(shards, path.name) if name.endswith(".mp4")]
    for name in names:
        flip_byte(path, shard_members(shards, path.name)[name].offset + 5)
    loader = make_stream_loader(shards, pretraining_sampler(), 4, max_fault_share=0.3)
    for _ in zip(range(34), loader, strict=False):
        pass
    state = loader.state_dict()
    assert state["faults"]["a"] >= 10
    resumed = make_stream_loader(shards, pretraining_sampler(), 4, max_fault_share=0.3)
    resumed.load_state_dict(json.loads(json.dumps(state)))
    for _ in zip(range(21), resumed, strict=False):
        pass
    assert resumed.state_dict()["faults"]["a"] > state["faults"]["a"]
    strict = make_stream_loader(shards, pretraining_sampler(), 4, max_fault_share=0.05)
    with pytest.raises(FaultError, match=r"more than 5.0% of a"):
        list(zip(range(60), strict, strict=False))


def test_a_worker_reports_faults_without_a_traceback(shards: Path) -> None:
    for path in shards.glob("b-*.tar"):
        path.unlink()
    with pytest.raises(FaultError) as caught:
        list(
            zip(
                range(9),
                make_stream_loader(shards, pretraining_sampler(), 4, workers=2, max_fault_share=1.0),
                strict=False,
            )
        )
    assert "8 clips in a row are unreadable: the last is " in str(caught.value)
    assert "ClipFault(" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_an_index_that_differs_from_the_manifest_is_refused(shards: Path) -> None:
    side = index.sidecar_path(shards / "a-000000.tar")
    side.write_bytes(side.read_bytes().replace(b'"sha256": "', b'"sha256": "0', 1))
    keys, faults = read_stream(shards)
    assert len(keys) == 68
    assert all("is not the index that manifest.json lists" in str(f["error"]) for f in faults)


def test_a_quarantine_that_cannot_be_written_is_refused_at_the_start(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"q\.jsonl: cannot be written"):
        make_stream_loader(shards, pretraining_sampler(), 4, quarantine=tmp_path / "file" / "q.jsonl")
    make_stream_loader(shards, pretraining_sampler(), 4, quarantine=tmp_path / "new" / "q.jsonl")


def test_clips_of_two_sizes_are_refused(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avf_training.data import clip

    real, calls = clip.decode_planes, []

    def decode_cropped(mp4: bytes, frames: list[int], into: object) -> object:
        calls.append(1)
        return real(mp4, frames)[:, :48, :32] if len(calls) == 2 else real(mp4, frames)

    monkeypatch.setattr(clip, "decode_planes", decode_cropped)
    with pytest.raises(
        UserError, match=r"must have one size: .* has 32 x 32 px, .* has 64 x 64 px; curate them with one"
    ):
        read_stream(shards)


def test_clips_of_validation_are_left_out_and_counted(shards: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No clip is scored twice in the place of one that cannot be read."""
    key, member = find_victim(shards)
    flip_byte(shards / "a-000000.tar", member.offset + member.size // 2)
    clips = ValidationClips(MODEL, paper_masks(MODEL), train=shards, validation=shards, storage=StorageConfig())
    scores = clips.score(MaskedAutoencoder(MODEL))
    assert (scores.clips, scores.unreadable) == (67, 1)
    lines = [line for line in caplog.messages if key in line]
    assert len(lines) == 2, "of the clips that the mean is of, and of those that are scored"
    assert all(f"clip {key} cannot be read, it is left out" in line for line in lines)
