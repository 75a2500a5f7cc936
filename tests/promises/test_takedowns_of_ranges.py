"""A range of a file that is taken down goes from every other range and copy of the file that overlaps it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from avf_curation.pipeline.input_check import find_time_range, input_digest, whole_file_digest
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_shards.cli.main import main
from avf_shards.deletion.requests import deletion_request
from avf_shards.format.denylist import NOTHING_DENIED, Denylist
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards, select_from_run
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema import ledger
from avf_shards.schema.clip_key import key_frames, make_video_prefix
from support.curation_runs import EMBEDDED, kept_span, make_recipe
from support.shard_folders import read_clips
from support.stages import single_step

FILM = "AAAAAAAAAAA"
RANGES_S = {f"{FILM}_0": (0.0, 10.0), f"{FILM}_1": (6.0, 14.0), f"{FILM}_2": (10.02, 20.0)}
SPAN_FRAMES = 50


def curate_range(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Keep a clip of each two seconds of the input; the film has 20 seconds."""
    path, part = root / video.path, find_time_range(video)
    frames = 500 if part is None else int((part.stop_s - part.start_s) * 25)
    starts = range(0, frames - frames % SPAN_FRAMES, SPAN_FRAMES)
    return VideoOutcomes(
        video=video,
        outcomes=tuple(kept_span(start, start + SPAN_FRAMES, video.video_id) for start in starts),
        sha256=input_digest(path, None, part),
        file_sha256=whole_file_digest(video, root),
    )


def make_sources(folder: Path) -> None:
    """Write a film of three listed ranges, and a copy of it under another name in another source."""
    listed, copied = folder / "listed", folder / "whole"
    (listed / "raw").mkdir(parents=True)
    copied.mkdir()
    box = {"top": 0.1, "bottom": 0.9, "left": 0.1, "right": 0.9}
    clips = {
        key: {"ytb_id": FILM, "duration": {"start_sec": start, "end_sec": stop}, "bbox": box}
        for key, (start, stop) in RANGES_S.items()
    }
    (listed / "celebvhq_info.json").write_text(json.dumps({"clips": clips}))
    for path in (listed / f"raw/{FILM}.mp4", copied / "copy.mp4"):
        path.write_bytes(b"the film")


def run_sources(folder: Path, name: str, deny: Denylist = NOTHING_DENIED) -> RunFolder:
    options = RunOptions(engine="inline", stages=single_step(curate_range), deny=deny)
    recipe = make_recipe("silence.speech_backend=none")
    sources = {"celebvhq": folder / "listed", "whole": folder / "whole"}
    return curate(recipe, EMBEDDED, sources, folder / name, options)


def kept_seconds(run: RunFolder) -> dict[str, list[int]]:
    """Return video -> seconds at which its kept spans begin, on its own timeline."""
    kept: dict[str, list[int]] = {}
    for row in run.ledger().to_pylist():
        if row["status"] == "kept":
            kept.setdefault(row["video_id"], []).append(row["start_frame"] // 25)
    return kept


LEFT = {f"{FILM}_1": [4, 6], f"{FILM}_2": [0, 2, 4, 6], "copy.mp4": [10, 12, 14, 16, 18]}


def test_what_overlaps_a_range_goes_with_it_from_the_run_and_the_shards(tmp_path: Path) -> None:
    make_sources(tmp_path)
    run, shards = run_sources(tmp_path, "run"), tmp_path / "shards"
    pack_shards(run, shards, Selection())
    command = ["delete", str(shards), "--run", str(run.root), "--video", f"celebvhq/{FILM}_0"]
    assert main(command) == 0
    assert kept_seconds(run) == LEFT
    assert verify_shards(shards) == []
    for source, video in (("celebvhq", f"{FILM}_1"), ("whole", "copy.mp4")):
        prefix = make_video_prefix(source, video)
        starts = sorted(key_frames(key)[0] // 25 for key in read_clips(shards) if key.startswith(prefix))
        assert set(starts) <= set(LEFT[video])


def test_a_new_run_and_a_pack_keep_nothing_that_overlaps_a_range_which_deny_names(tmp_path: Path) -> None:
    make_sources(tmp_path)
    deny = deletion_request([f"celebvhq/{FILM}_0"]).denylist()
    run = run_sources(tmp_path, "run")
    _, selection = select_from_run(run, Selection(), deny)
    denied = {clip.key for clip in selection.rejected if clip.reason == "denied"}
    kept_keys = {key for row in run.ledger().to_pylist() for key in row["clips"]}
    left = sum(map(len, LEFT.values()))
    assert len(kept_keys - denied) == left
    assert kept_seconds(run_sources(tmp_path, "denied", deny)) == LEFT


def test_the_digest_of_a_file_forbids_its_ranges(tmp_path: Path) -> None:
    make_sources(tmp_path)
    digest = input_digest(tmp_path / "whole/copy.mp4", None)
    run = run_sources(tmp_path, "run")
    (tmp_path / "list").write_text(f"sha256 {digest}\n")
    assert main(["delete", "--run", str(run.root), "--list", str(tmp_path / "list")]) == 0
    assert kept_seconds(run) == {}
    assert kept_seconds(run_sources(tmp_path, "again", run.denylist())) == {}


def test_the_same_part_of_a_file_in_two_ranges_is_packed_once(tmp_path: Path) -> None:
    make_sources(tmp_path)
    run = run_sources(tmp_path, "run")
    _, selection = select_from_run(run, Selection())
    twins = {clip.key: clip.duplicate_of for clip in selection.rejected if clip.reason == "same_bytes"}
    first, second = (make_video_prefix("celebvhq", f"{FILM}_{number}") for number in (0, 1))
    for start in (0, 50):  # of the second range, which begins six seconds after the first
        key = f"{second}-{start:07d}-{start + 50:07d}-0"
        assert twins[key] == f"{first}-{start + 150:07d}-{start + 200:07d}-0"


def test_a_ledger_without_a_range_has_no_columns_for_ranges_and_is_read_with_them(tmp_path: Path) -> None:
    make_sources(tmp_path)
    recipe = make_recipe("silence.speech_backend=none")
    options = RunOptions(engine="inline", stages=single_step(curate_range))
    run = curate(recipe, EMBEDDED, {"whole": tmp_path / "whole"}, tmp_path / "run", options)
    stored = pq.read_table(run.attempt_folder(0) / "ledger/ledger.parquet").column_names
    assert not set(ledger.RANGE_COLUMNS) & set(stored)
    assert run.ledger().column_names == ledger.SCHEMA.names
