"""Promise: five corpora in their published layouts become one hybrid, from real videos to packed shards."""

import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from avf_curation.cli.main import main
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.format.index import ShardReader
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.near_duplicates import decode_fingerprint
from avf_shards.schema.ledger import table_to_decisions
from support import corpora

RECIPE = """
silence: {speech_backend: none}  # the voices are drawn
sources:
  voxceleb2: {scenes: {detectors: []}, gates: {faces: skip}}
  cncvs: {scenes: {detectors: []}, gates: {faces: skip}}
hybrid:
  near_duplicates: {}
  sources:
    voxceleb2: {quota: 10, order: speakers}
    cncvs: {}
    mer2024: {}
    celebvhq: {quota: 1}
    avspeech: {}
"""


def write_without_audio(film: bytes, path: Path) -> None:
    """The pictures alone, as OpenCV writes them."""
    source = path.with_suffix(".whole")
    corpora.write_file(path.parent, source.name, film)
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    source.unlink()


def write_audio(film: bytes, path: Path) -> None:
    """The sound alone, 16 kHz mono."""
    corpora.write_file(path.parent, path.name, film)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 16_000)
        pieces = []
        for frame in container.decode(audio=0):
            frame.pts = None
            pieces += [block.to_ndarray()[0] for block in resampler.resample(frame)]
    soundfile.write(path, np.concatenate(pieces), 16_000, format="WAV")


def write_corpora(root: Path) -> list[str]:
    """Five corpora; one recording is in two of them."""
    films = [encode_video(VideoScript(shots=(ShotScript(frames=75, speakers=(n,), seed=700 + n),))) for n in range(5)]
    clip = "id00012/21Uxsk56VDQ/00001"
    corpora.write_file(root, f"voxceleb2/dev/mp4/{clip}.mp4", films[0])
    corpora.write_file(root, f"voxceleb2/dev/txt/{clip}.txt", corpora.TRACK)
    write_without_audio(films[1], corpora.write_file(root, "voxceleb2/dev/mp4/id00013/21Uxsk56VDQ/00001.mp4"))
    write_audio(films[1], corpora.write_file(root, "voxceleb2/dev/aac/id00013/21Uxsk56VDQ/00001.wav"))
    write_without_audio(films[2], corpora.write_file(root, "cncvs/news/n001/video/n001_00001_001.mp4"))
    write_audio(films[2], corpora.write_file(root, "cncvs/news/n001/audio/n001_00001_001.wav"))
    corpora.write_file(root, "mer2024/video-unlabeled-with-test2noise/sample_00000001.mp4", films[0])
    two = encode_video(
        VideoScript(
            shots=(ShotScript(frames=75, speakers=(6,), seed=800), ShotScript(frames=75, speakers=(7,), seed=801))
        )
    )
    corpora.write_file(root, "celebvhq/raw/M2Ohb0FAaJU.mp4", two)
    clips = {f"M2Ohb0FAaJU_{n}": corpora.make_celebvhq_entry("M2Ohb0FAaJU", 3.0 * n, 3.0 * n + 3) for n in range(2)}
    corpora.write_file(root, "celebvhq/celebvhq_info.json", json.dumps({"clips": clips}))
    corpora.write_file(root, "avspeech/avspeech_train.csv", "wholefilm__,3.0,6.0,0.5,0.5\ngonegonegon,0,3,0.5,0.5\n")
    corpora.write_file(
        root,
        "avspeech/wholefilm__.mp4",
        encode_video(
            VideoScript(
                shots=(ShotScript(frames=75, speakers=(8,), seed=802), ShotScript(frames=75, speakers=(9,), seed=803))
            )
        ),
    )
    return [f"{name}={root / name}" for name in ("voxceleb2", "cncvs", "mer2024", "celebvhq", "avspeech")]


@pytest.mark.slow
def test_five_corpora_are_curated_and_packed_into_one_hybrid(tmp_path: Path) -> None:
    sources = write_corpora(tmp_path / "in")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    recipe = ["--recipe", str(tmp_path / "mine.yaml")]
    words = [word for source in sources for word in ("--source", source)]
    words += ["--engine", "inline", "--weights", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert main(["run", *recipe, *words]) == 0
    run = RunFolder(tmp_path / "run")
    decisions = table_to_decisions(run.ledger())
    assert {(entry.source, entry.status) for entry in decisions} == {
        (name.partition("=")[0], "kept") for name in sources
    }, "each video is one speaker from start to end"
    assert {
        entry.video_id: (entry.span.start_frame, entry.span.stop_frame)
        for entry in decisions
        if entry.source == "avspeech"
    } == {"wholefilm___3.000000-6.000000": (0, 75)}
    assert {entry.language for entry in decisions if entry.source in ("cncvs", "mer2024")} == {"zh"}
    assert main(["hybrid", str(run.root), *recipe, "--out", str(tmp_path / "shards")]) == 0
    selection_rows = pq.read_table(tmp_path / "shards/selection.parquet").to_pylist()
    assert sum(row["selected"] for row in selection_rows) == 5
    (near,) = [row for row in selection_rows if row["reason"] == "near_duplicate"]
    assert {near["key"].split("-")[0], near["duplicate_of"].split("-")[0]} == {"voxceleb2", "mer2024"}
    records = [record for shard in (tmp_path / "shards").glob("*.tar") for record in records_of_shard(shard)]
    by_source = {record["source"]: record for record in records}
    assert by_source["celebvhq"]["origin"]["box"] == [0.1964, 0.0, 0.6922, 0.8815]
    assert by_source["celebvhq"]["start_s"] == by_source["celebvhq"]["origin"]["start_s"]
    assert by_source["avspeech"]["start_s"] == 3.0
    assert by_source["cncvs"]["speaker"] == "n001"
    words = decode_fingerprint(str(by_source["avspeech"]["audio_fingerprint"]), "avspeech")
    assert len(words) == 75
    assert len(set(words.tolist())) > 37, "real sound tells recordings apart"


def records_of_shard(shard: Path) -> list[dict[str, object]]:
    """The records of a shard; a clip's fingerprint is in its record, and no file of its own there."""
    with ShardReader(shard) as reader:
        members = reader.index.by_key().values()
        assert all(set(entry) == {"mp4", "flac", "json"} for entry in members)
        return [json.loads(reader.read(entry["json"])) for entry in members]
