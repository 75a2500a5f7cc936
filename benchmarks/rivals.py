"""Compare our pipeline with the peers' way of curating (stepwise.py), on the same real clips with the same models."""

import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.detectors.weights import pull_weights
from avf_curation.pipeline.video import curate_video
from avf_curation.recipe import load_recipe
from avf_curation.sources.types import Video

from benchmarks.stepwise import STEPS, Costs, Verdict, run_pipeline
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
        return [Section("Peers' way of curating", "Not measured: the real clips or ffmpeg are missing.", [["", ""]])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pull_weights("retinaface_mobilenet", folder / "w", SHARED / "assets/weights/retinaface_mobilenet0.25_Final.pth")
        detectors = Detectors(resolve_backends(load_recipe(), folder / "w"))
        verdicts_of(CLIPS[0], detectors)  # loads the models
        our_costs, peer_costs = Costs(), Costs()
        verdicts: dict[str, tuple[list[Verdict], list[Verdict]]] = {}
        for clip in CLIPS:
            path = SHARED / "assets/video" / clip
            our_verdicts = our_costs.measure("ours", partial(verdicts_of, clip, detectors))
            verdicts[clip] = our_verdicts, run_pipeline(path, folder / clip, detectors, folder / "w", peer_costs)
        peer_cold, our_cold = Costs(), Costs()
        for clip in COLD:
            run_pipeline(SHARED / "assets/video" / clip, folder / f"cold-{clip}", None, folder / "w", peer_cold)
            our_cold.measure("ours", partial(_curate_cold, clip, folder / "w"))
    return [_section(our_costs, peer_costs, peer_cold, our_cold, verdicts)]


def verdicts_of(clip: str, detectors: Detectors) -> list[Verdict]:
    """Curate `clip` with our pipeline; return the verdict of each span."""
    path = SHARED / "assets/video" / clip
    stat = path.stat()
    video = Video(
        source="s", video_id=clip, group_id=clip, path=clip, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
    verdicts: list[Verdict] = []
    for outcome in curate_video(video, path.parent, load_recipe().defaults, detectors).outcomes:
        failing, span = outcome.candidate.failed_check, outcome.candidate.span
        verdict = "kept" if failing is None else f"{failing.stage}/{failing.reason}"
        verdicts.append((span.start_s, span.stop_s, "failed" if outcome.failure else verdict))
    return verdicts


def _curate_cold(clip: str, weights: Path) -> None:
    """Curate `clip` in a fresh process."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.rivals import verdicts_of; from avf_curation.detectors.detector_set import Detectors, resolve_backends;"
        "from avf_curation.recipe import load_recipe; verdicts_of(sys.argv[1], Detectors(resolve_backends(load_recipe(), Path(sys.argv[2]))))"
    )
    subprocess.run([sys.executable, "-c", code, clip, str(weights)], check=True)


def same_clips(our_spans: list[Verdict], peer_spans: list[Verdict]) -> bool:
    """Return whether both sides keep the same number of spans, and the spans of each pair share four fifths of their time."""
    kept = [[span for span in spans if span[2] == "kept"] for spans in (our_spans, peer_spans)]

    def overlap(a: Verdict, b: Verdict) -> float:
        return (min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))

    return len(kept[0]) == len(kept[1]) and all(overlap(a, b) >= 0.8 for a, b in zip(*kept, strict=True))


def same_reasons(our_spans: list[Verdict], peer_spans: list[Verdict]) -> bool:
    """Return whether the spans of one second or more have the same verdicts in the same order."""
    long = [[verdict for start, stop, verdict in spans if stop - start >= 1] for spans in (our_spans, peer_spans)]
    return long[0] == long[1]


def _section(
    our_costs: Costs,
    peer_costs: Costs,
    peer_cold: Costs,
    our_cold: Costs,
    verdicts: dict[str, tuple[list[Verdict], list[Verdict]]],
) -> Section:
    rows = [["step", "their CPU s", "their wall s"]]
    rows += [[step, f"{peer_costs.cpu.get(step, 0):.1f}", f"{peer_costs.wall.get(step, 0):.1f}"] for step in STEPS]
    total = sum(peer_costs.cpu.values()), sum(peer_costs.wall.values())
    rows.append(["all their steps", f"{total[0]:.1f}", f"{total[1]:.1f}"])
    rows.append(["ours", f"{our_costs.cpu['ours']:.1f}", f"{our_costs.wall['ours']:.1f}"])
    ratio = total[0] / our_costs.cpu["ours"], total[1] / our_costs.wall["ours"]
    cold_ratio = (
        sum(peer_cold.cpu.values()) / our_cold.cpu["ours"],
        sum(peer_cold.wall.values()) / our_cold.wall["ours"],
    )
    rows.append(["**ours is faster by**", f"**{ratio[0]:.2f}**", f"**{ratio[1]:.2f}**"])
    rows.append([f"cold imports, {len(COLD)} clips: faster by", f"{cold_ratio[0]:.2f}", f"{cold_ratio[1]:.2f}"])
    same_kept = [clip for clip, pair in verdicts.items() if same_clips(*pair)]
    reasons = [clip for clip, pair in verdicts.items() if same_reasons(*pair)]
    different = ", ".join(sorted(set(verdicts) - (set(same_kept) & set(reasons))))
    note = (
        f"{len(CLIPS)} real clips; a process per clip and step, ffmpeg and scenedetect command lines, images on disk between steps, against one "
        "warm process that decodes twice and writes nothing but the clip; dlib, RetinaFace MobileNet, librosa, the envelope and the quality "
        "measures are the same code with the same thresholds on both sides; theirs looks for the face in every frame. Warm: their Python steps "
        f"are forks that have everything loaded. The same spans are kept in {len(same_kept)} of {len(verdicts)} clips, spans of a second and more have the "
        f"same verdicts in {len(reasons)}"
        + (f" (not: {different}); their second encoding moves the edges of silence and of shots." if different else ".")
        + " Target: 5 with warm imports."
    )
    return Section("Peers' way of curating", note, rows)


if __name__ == "__main__":
    start = time.time()
    for section in run():
        print(section.markdown())
    print(time.time() - start)
