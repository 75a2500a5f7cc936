"""The list of learned clips is compact, the same for the same clips, and refused where it is none."""

from pathlib import Path

import pyarrow as pa
import pytest
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.clip_key import make_clip_key
from avf_shards.schema.versions import encode_parquet, versioned_schema
from avf_shards.timeline import Span
from avf_training.tasks.learned_clips import LEARNED, LearnedClips, copy_list, read_learned
from avf_training.tasks.relations import ClipIdentity


def keys_of(count: int, source: str = "mer24") -> list[str]:
    return [make_clip_key(source, f"sample_{number:08d}", Span(0, 50), 0) for number in range(count)]


def test_a_list_is_read_as_written_and_its_bytes_follow_from_the_clips(tmp_path: Path) -> None:
    clips = [ClipIdentity(key=f"k{n}", recording=f"lab/{n}", person=f"lab/p{n % 3}") for n in range(9)]
    union = LearnedClips.with_labels(clips) | LearnedClips.from_keys(keys_of(5), labelled=False)
    assert (len(union.labelled), len(union.unlabelled)) == (9 + 9 + 3, 5)
    union.write(tmp_path)
    assert read_learned(tmp_path / LEARNED) == union
    before = (tmp_path / LEARNED).read_bytes()
    reordered = LearnedClips.from_keys(keys_of(5)[::-1], labelled=False) | LearnedClips.with_labels(clips[::-1])
    reordered.write(tmp_path)
    assert (tmp_path / LEARNED).read_bytes() == before
    (tmp_path / "model").mkdir()
    copy_list(tmp_path, tmp_path / "model")
    assert (tmp_path / "model" / LEARNED).read_bytes() == before


def test_a_clip_of_pre_training_takes_sixteen_bytes(tmp_path: Path) -> None:
    LearnedClips.from_keys(keys_of(20_000), labelled=False).write(tmp_path)
    assert 16 <= (tmp_path / LEARNED).stat().st_size / 20_000 < 16.5


def test_what_of_a_clip_was_learned_is_named() -> None:
    learned = LearnedClips.with_labels([ClipIdentity(key="a", recording="mer2023/7", person="lab/p", film="youtube/x")])
    asked = {
        "clip": ClipIdentity(key="a", recording="lab/1"),
        "recording": ClipIdentity(key="b", recording="mer2023/7"),
        "person": ClipIdentity(key="b", recording="lab/2", person="lab/p"),
        "film": ClipIdentity(key="b", recording="lab/2", film="youtube/x"),
        None: ClipIdentity(key="b", recording="mafw/7", person="crema_d/p", film="bilibili/x"),
    }
    assert [learned.labelled_share(clip) for clip in asked.values()] == list(asked)
    own = LearnedClips.with_labels([ClipIdentity(key="c", recording="lab/3", person="lab/p")]).labelled
    assert learned.labelled_share(asked["person"], ignored=own) is None
    assert learned.labelled_share(asked["clip"], ignored=learned.labelled) == "clip", "the clip itself always counts"


@pytest.mark.parametrize("digits", [32, 12])
def test_pre_training_on_another_release_is_seen_also_in_older_shards(digits: int) -> None:
    source, video, rest = keys_of(1)[0].split("-", 2)
    learned = LearnedClips.from_keys([f"{source}-{video[:digits]}-{rest}"], labelled=False)
    assert learned.has_seen(ClipIdentity(key="x", recording="mer2023/sample_00000000"))
    assert not learned.has_seen(ClipIdentity(key="x", recording="mer2023/sample_00000001"))
    assert not learned.has_seen(ClipIdentity(key="x", recording="mafw/sample_00000000"))
    assert learned.labelled_share(ClipIdentity(key="x", recording="mer2023/sample_00000000")) is None


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / LEARNED
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(FaultError, match=r"learned\.parquet: not readable as learned clips"):
        read_learned(path)
    path.write_bytes(encode_parquet(pa.table({"digest": ["x"]})))
    with pytest.raises(UserError, match=r"learned\.parquet: is not the learned clips file"):
        read_learned(path)
    texts = pa.Table.from_arrays([pa.array(["x"])], schema=versioned_schema([("digest", pa.string())], "learned clips"))
    path.write_bytes(encode_parquet(texts))
    with pytest.raises(FaultError, match=r"has the columns digest, not those of a list of learned clips"):
        read_learned(path)
