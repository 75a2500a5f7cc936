"""Our pipeline against the peers' way of working (stepwise.py), on the same real clips with the same models."""

import shutil
import tempfile
import time
from pathlib import Path

from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.weights import pull_weights
from avf_curation.pipeline.video import curate_video
from avf_curation.recipe import load_recipe
from avf_curation.sources.types import Video

from benchmarks.stepwise import STEPS, Costs, pipeline
from benchmarks.table import SHARED, Section

CLIPS = (
    "grid_brbk7n.mpg",
    "grid_lbax4n.mpg",
    "grid_lrwp9a.mpg",
    "grid_lwbsza.mpg",
    "grid_s1_bbaf2n.mpg",
    "grid_swiz3n.mpg",
    "hamilton_short_cuts.mp4",
    "liveportrait_d18_silent_audio.mp4",
    "pyfeat_no_face.mp4",
    "retalking_face_1.mp4",
    "retalking_face_2.mp4",
    "retalking_face_4.mp4",
    "syncnet_example.avi",
)
COLD = ("grid_brbk7n.mpg", "retalking_face_4.mp4")


def run() -> list[Section]:
    if not (SHARED / "assets").is_dir() or shutil.which("ffmpeg") is None:
        return [Section("Peers' way of curating", "Not measured: no real clips or no ffmpeg here.", [["", ""]])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pull_weights("retinaface_mobilenet", folder / "w", SHARED / "assets/weights/retinaface_mobilenet0.25_Final.pth")
        tools = Detectors(resolve_backends(load_recipe(), folder / "w"))
        ours(CLIPS[0], tools)  # warm
        mine, theirs = Costs(), Costs()
        verdicts = {}
        for clip in CLIPS:
            path = SHARED / "assets/video" / clip
            told = mine.timed("ours", lambda clip=clip: ours(clip, tools))
            verdicts[clip] = told, pipeline(path, folder / clip, tools, folder / "w", theirs)
        cold, cold_mine = Costs(), Costs()
        for clip in COLD:
            pipeline(SHARED / "assets/video" / clip, folder / f"cold-{clip}", None, folder / "w", cold)
            cold_mine.timed("ours", lambda clip=clip: _cold(clip, folder / "w"))
    return [_section(mine, theirs, cold, cold_mine, verdicts)]


def ours(clip: str, tools: Detectors) -> list[tuple[float, float, str]]:
    """The same through our pipeline."""
    path = SHARED / "assets/video" / clip
    stat = path.stat()
    video = Video(
        source="s", video_id=clip, group_id=clip, path=clip, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
    found = []
    for outcome in curate_video(video, path.parent, load_recipe().defaults, tools).outcomes:
        failing, span = outcome.candidate.failed_check, outcome.candidate.span
        verdict = "kept" if failing is None else f"{failing.stage}/{failing.reason}"
        found.append((span.start_s, span.stop_s, "failed" if outcome.failure else verdict))
    return found


def _cold(clip: str, weights: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from benchmarks.rivals import ours; from avf_curation.detectors.detector_set import Detectors, resolve_backends;"
        "from avf_curation.recipe import load_recipe; ours(sys.argv[1], Detectors(resolve_backends(load_recipe(), Path(sys.argv[2]))))"
    )
    subprocess.run([sys.executable, "-c", code, clip, str(weights)], check=True)


def same_clips(one: list[tuple[float, float, str]], other: list[tuple[float, float, str]]) -> bool:
    """Whether both keep the same spans: as many, each pair over four fifths of the time it covers."""
    kept = [[span for span in spans if span[2] == "kept"] for spans in (one, other)]

    def overlap(a: tuple[float, float, str], b: tuple[float, float, str]) -> float:
        return (min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))

    return len(kept[0]) == len(kept[1]) and all(overlap(a, b) >= 0.8 for a, b in zip(*kept, strict=True))


def same_reasons(one: list[tuple[float, float, str]], other: list[tuple[float, float, str]]) -> bool:
    """Whether the spans of a second and more were rejected for the same reasons in the same order."""
    long = [[verdict for start, stop, verdict in spans if stop - start >= 1] for spans in (one, other)]
    return long[0] == long[1]


def _section(mine: Costs, theirs: Costs, cold: Costs, cold_mine: Costs, verdicts: dict) -> Section:
    rows = [["step", "their CPU s", "their wall s"]]
    rows += [[step, f"{theirs.cpu.get(step, 0):.1f}", f"{theirs.wall.get(step, 0):.1f}"] for step in STEPS]
    total = sum(theirs.cpu.values()), sum(theirs.wall.values())
    rows.append(["all their steps", f"{total[0]:.1f}", f"{total[1]:.1f}"])
    rows.append(["ours", f"{mine.cpu['ours']:.1f}", f"{mine.wall['ours']:.1f}"])
    ratio = total[0] / mine.cpu["ours"], total[1] / mine.wall["ours"]
    frozen = sum(cold.cpu.values()) / cold_mine.cpu["ours"], sum(cold.wall.values()) / cold_mine.wall["ours"]
    rows.append(["**ours is faster by**", f"**{ratio[0]:.2f}**", f"**{ratio[1]:.2f}**"])
    rows.append([f"cold imports, {len(COLD)} clips: faster by", f"{frozen[0]:.2f}", f"{frozen[1]:.2f}"])
    kept = [clip for clip, both in verdicts.items() if same_clips(*both)]
    reasons = [clip for clip, both in verdicts.items() if same_reasons(*both)]
    other = ", ".join(sorted(set(verdicts) - (set(kept) & set(reasons))))
    note = (
        f"{len(CLIPS)} real clips; a process per clip and step, ffmpeg and scenedetect command lines, images on disk between steps, against one "
        "warm process that decodes twice and writes nothing but the clip; dlib, RetinaFace MobileNet, librosa, the envelope and the quality "
        "measures are the same code with the same thresholds on both sides; theirs looks for the face in every frame. Warm: their Python steps "
        f"are forks that have everything loaded. The same spans are kept in {len(kept)} of {len(verdicts)} clips, spans of a second and more have the "
        f"same verdicts in {len(reasons)}"
        + (f" (not: {other}); their second encoding moves the edges of silence and of shots." if other else ".")
        + " Target: 5 with warm imports."
    )
    return Section("Peers' way of curating", note, rows)


if __name__ == "__main__":
    start = time.time()
    for one in run():
        print(one.markdown())
    print(time.time() - start)
