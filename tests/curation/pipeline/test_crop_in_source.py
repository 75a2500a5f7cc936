"""The record of a clip says which part of the source's picture its crop is, so that the original can be cut there."""

from pathlib import Path

import av
import cv2
import numpy as np
from avf_curation import clip_videos
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.format.index import ShardReader
from avf_shards.schema.clip_record import ClipRecord


def test_the_part_of_the_source_is_what_the_clip_shows(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(
        encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=(3,), seed=5),)))
    )
    clips = clip_videos(tmp_path / "talk.mp4", tmp_path / "out", settings=("track.backend=dlib",))
    (shard,) = Path(clips.shards).glob("*.tar")
    with ShardReader(shard) as reader:
        ((key, files),) = reader.clips()
    record = ClipRecord.from_json(files["json"], key)
    assert record.crop_px is not None
    left, top, right, bottom = record.crop_px
    with av.open(str(tmp_path / "talk.mp4")) as container:
        source = next(container.decode(video=0)).to_ndarray(format="gray")
    (tmp_path / "clip.mp4").write_bytes(files["mp4"])
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="gray").astype(float)
    # The window moves within the part by as much as the part is larger than it, on either side.
    slack = max(right - left, bottom - top) - record.window_px
    assert 0 <= slack < 0.3 * record.window_px
    assert 0 <= left < right <= source.shape[1]
    assert 0 <= top < bottom <= source.shape[0]
    differences = []
    for y in np.arange(top, bottom - record.window_px + 1, 2):
        for x in np.arange(left, right - record.window_px + 1, 2):
            side = round(record.window_px)
            part = source[round(y) : round(y) + side, round(x) : round(x) + side]
            differences.append(np.abs(cv2.resize(part, stored.shape, interpolation=cv2.INTER_AREA) - stored).mean())
    assert min(differences) < 6  # grey levels: resizing and H.264
    elsewhere = source[:side, :side]
    assert np.abs(cv2.resize(elsewhere, stored.shape, interpolation=cv2.INTER_AREA) - stored).mean() > 15
