"""Real input: the expected verdict of each of the 26 real clips, with its reason from their README.

Tracking uses RetinaFace MobileNet-0.25, and sync uses the learned network of the package.
"""

import json
import shutil
from pathlib import Path

import av
import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.media.decode import MediaFile
from avf_curation.pipeline.video import curate_video
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.ledger import Decision, table_to_decisions

pytestmark = pytest.mark.timeout(900)  # a fixture curates many clips, at low priority beside other tests

Decisions = dict[str, list[Decision]]  # by the name of the file
KEPT, REJECTED = "kept", "rejected"

# file -> (frames, what the verdicts of its spans must be, why)
TRUTH: dict[str, tuple[int, set[str], str]] = {
    "grid_brbk7n.mpg": (75, {KEPT}, "MPEG-1, one speaker for three seconds"),
    "grid_lbax4n.mpg": (75, {KEPT}, "the same, with glasses"),
    "grid_lrwp9a.mpg": (75, {KEPT, "silence/silent"}, "silent before and after the sentence"),
    "grid_lwbsza.mpg": (75, {KEPT, "silence/silent"}, "silent before and after the sentence"),
    "grid_s1_bbaf2n.mpg": (75, {KEPT, "silence/silent"}, "silent before and after the sentence"),
    "grid_swiz3n.mpg": (75, {KEPT, "silence/silent"}, "silent before and after the sentence"),
    "hamilton_short_cuts.mp4": (
        229,
        {"scenes/too_short", "quality/watermark", "faces/several_faces"},
        "starts at 0.85 s; a short shot, people in a dark hall, a performer under the WH.GOV logo, an audience",
    ),
    "latentsync_demo1.mp4": (250, {KEPT}, "HEVC, portrait, a small face"),
    "latentsync_demo2.mp4": (502, {KEPT, "silence/silent", "silence/too_short"}, "HEVC; starts with short phrases"),
    "liveportrait_d18_silent_audio.mp4": (180, {"silence/silent"}, "the sound track is silent"),
    "liveportrait_s18_music_not_talking.mp4": (
        235,
        {"silence/no_speech", "silence/silent"},
        "music, and a mouth that does not move",
    ),
    "nasa_two_video_streams.mp4": (
        325,
        {"scenes/dissolve", "faces/no_face"},
        "the first of two video streams; no clear face, and a dissolve",
    ),
    "psd_testvideo_cuts_watermark.mp4": (
        601,
        {"scenes/dissolve", "scenes/too_short", "scenes/no_sound"},
        "no audio stream; four scenes and five fades",
    ),
    "pyfeat_face_then_noface.mov": (
        160,
        {"scenes/no_sound", "faces/no_face"},
        "variable frame rate; the sound starts with the animation, 2.4 s in, so the face has none",
    ),
    "pyfeat_no_face.mp4": (100, {"faces/no_face"}, "an animation's title"),
    "pyfeat_single_face_not_talking.mp4": (60, {"silence/silent", "silence/too_short"}, "nearly silent, 2.4 s"),
    "retalking_face_1.mp4": (153, {KEPT, "silence/silent", "silence/too_short"}, "uneven frame rate; phrases"),
    "retalking_face_2.mp4": (125, {KEPT, "silence/silent"}, "two phrases"),
    "retalking_face_4.mp4": (166, {KEPT}, "30 fps, head motion"),
    "sintel_30s_many_cuts.mp4": (
        750,
        {"scenes/dissolve", "scenes/too_short", "scenes/no_sound"},
        "no audio stream, many cuts and fades",
    ),
    "street_many_faces_facenet.mp4": (105, {"faces/several_faces"}, "a street full of people, nobody of whom speaks"),
    "syncnet_example.avi": (
        317,
        {KEPT, "silence/silent", "silence/too_short"},
        "sound 3 frames early: repaired",
    ),
    "syncnet_example_offset5.avi": (
        319,
        {KEPT, "silence/silent"},
        "a small offset: repaired where it is sure",
    ),
    "syncnet_example_offset12.avi": (
        319,
        {"sync/offset", KEPT, "silence/silent"},
        "the sound is 8 to 9 frames late: rejected where a phrase is long enough to tell, kept where it cannot tell",
    ),
    "talkvid_generated_watermark.mp4": (114, {"quality/watermark", "silence/silent"}, "burnt-in text"),
    "two_faces_datajuicer_video4.mp4": (
        561,
        {"faces/several_faces"},
        "two people at home, whom the second detector sees in the first half too",
    ),
}

# Every verdict above in a third of the frames. The other clips take more than a minute and are `slow`.
SAMPLE = (
    "grid_brbk7n.mpg",
    "grid_lrwp9a.mpg",
    "hamilton_short_cuts.mp4",
    "liveportrait_s18_music_not_talking.mp4",
    "nasa_two_video_streams.mp4",
    "pyfeat_face_then_noface.mov",
    "pyfeat_no_face.mp4",
    "pyfeat_single_face_not_talking.mp4",
    "retalking_face_2.mp4",
    "street_many_faces_facenet.mp4",
    "syncnet_example.avi",
    "syncnet_example_offset12.avi",
    "talkvid_generated_watermark.mp4",
)
OTHERS = tuple(sorted(TRUTH.keys() - set(SAMPLE)))


@pytest.fixture(scope="module")
def sample_decisions(shared: Path, real_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    """Return the decisions about each clip of the sample."""
    options = RunOptions(engine="inline")
    return curate_clips(shared / "assets/video", SAMPLE, real_weights, options, tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def other_decisions(shared: Path, real_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    """Return the decisions about each clip outside the sample, from two workers of Ray."""
    options = RunOptions(engine="ray", cluster=ClusterConfig(workers=2))
    return curate_clips(shared / "assets/video", OTHERS, real_weights, options, tmp_path_factory.mktemp("others"))


def curate_clips(videos: Path, names: tuple[str, ...], weights: Path, options: RunOptions, out: Path) -> Decisions:
    """Curate and pack the named clips; return the decisions about each by its name."""
    recipe = load_recipe(None, ["plan.unit_videos=4"])
    (out / "in").mkdir()
    for name in names:
        shutil.copyfile(videos / name, out / "in" / name)
    run = curate(recipe, resolve_backends(recipe, weights), {"folder": out / "in"}, out / "run", options)
    result = summarize_run(run)
    assert result.totals["videos"] == len(names)
    assert not result.accounting_errors
    pack_shards(run, out / "shards", Selection())
    assert verify_shards(out / "shards") == []
    decisions_of: dict[str, list[Decision]] = {}
    for decision in table_to_decisions(run.ledger()):
        decisions_of.setdefault(decision.video_id, []).append(decision)
    return decisions_of


@pytest.mark.real
def test_every_real_file_has_an_expected_verdict(shared: Path) -> None:
    assert {path.name for path in (shared / "assets/video").iterdir()} == TRUTH.keys()
    assert set.union(*(TRUTH[name][1] for name in SAMPLE)) == set.union(
        *(verdicts for _, verdicts, _ in TRUTH.values())
    )


@pytest.mark.real
@pytest.mark.parametrize("name", SAMPLE)
def test_every_clip_of_the_sample_gets_its_expected_verdict(sample_decisions: Decisions, name: str) -> None:
    check_verdict(sample_decisions, name)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_other_clip_gets_its_expected_verdict(other_decisions: Decisions, name: str) -> None:
    check_verdict(other_decisions, name)


def check_verdict(decisions: Decisions, name: str) -> None:
    frames, verdicts, why = TRUTH[name]
    assert not [d for d in decisions[name] if d.status == "failed"]
    video_decisions = decisions[name]
    assert sum(d.span.frames for d in video_decisions) == frames, why
    assert {KEPT if d.status == KEPT else f"{d.stage}/{d.reason}" for d in video_decisions} == verdicts, why


@pytest.mark.real
def test_the_offset_of_syncnets_example_is_the_published_offset(sample_decisions: Decisions) -> None:
    longest = max((d for d in sample_decisions["syncnet_example.avi"] if d.status == KEPT), key=lambda d: d.span.frames)
    assert json.loads(longest.measurements)["sync"]["offset_frames"] == 3


def lay_under(picture: Path, sound: Path, out: Path) -> None:
    """Write the picture of one file with the sound of another."""
    with MediaFile(sound, load_recipe().defaults.media) as media:
        audio = media.audio(None)
    assert audio is not None
    with av.open(picture) as source, av.open(out, "w") as sink:
        video, track = (
            sink.add_stream_from_template(source.streams.video[0]),
            sink.add_stream("pcm_s16le", rate=16_000, layout="mono"),
        )
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        seconds = max(float((packet.pts + packet.duration) * packet.time_base) for packet in packets)
        for packet in packets:
            packet.stream = video
            sink.mux(packet)
        frame = av.AudioFrame.from_ndarray(audio.samples[None, : round(seconds * 16_000)], "s16", "mono")
        frame.sample_rate = 16_000
        sink.mux(track.encode(frame))
        sink.mux(track.encode(None))


@pytest.mark.real
@pytest.mark.parametrize(
    ("sound", "verdict"),
    [
        ("video_more/liveportrait_d14_music_not_talking.mp4", "silence/no_speech"),
        ("video/liveportrait_s18_music_not_talking.mp4", "silence/no_speech"),
        ("video/retalking_face_4.mp4", KEPT),
    ],
)
def test_a_face_that_moves_to_music_is_no_talker(
    shared: Path, real_weights: Path, tmp_path: Path, sound: str, verdict: str
) -> None:
    """A mouth that moves is no evidence of speech: this one spoke, and its sound is replaced by music."""
    lay_under(shared / "assets/video/retalking_face_4.mp4", shared / "assets" / sound, tmp_path / "dancer.mkv")
    recipe, stat = load_recipe(), (tmp_path / "dancer.mkv").stat()
    video = Video(
        source="s",
        video_id="dancer",
        group_id="dancer",
        path="dancer.mkv",
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )
    detectors = Detectors(resolve_backends(recipe, real_weights))
    outcomes = curate_video(video, tmp_path, recipe.defaults, detectors).outcomes
    checks = [outcome.candidate.failed_check for outcome in outcomes if outcome.candidate.span.frames > 50]
    assert [KEPT if check is None else f"{check.stage}/{check.reason}" for check in checks] == [verdict]
