"""avf-train ensemble-frames: predictions of several models for frames become one, as a plan says."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.logging_setup import progress_line
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.text import count_noun

from avf_training.cli.options import require_files

if TYPE_CHECKING:
    from avf_training.framewise.combination.record import EnsembleRecord

log = logging.getLogger(__name__)
_LONG_GAP_S = 1.0  # that is told
_DETAILS = """\
The plan names the members, who answers which video (folds, scenes), the smoothing, and the method: mean, vote,
dirichlet (weights drawn) or forest (random forests).
The ensemble's predictions go to OUT/NAME, as those of its members, with ensemble.json: what was chosen and fitted, and
the scores of the videos that are new to the members. Nothing is chosen or fitted on videos of the set test, and their
scores stand apart."""


def add(commands: Any) -> None:
    """Add `ensemble-frames`."""
    parser = add_command(
        commands,
        "ensemble-frames",
        _run,
        help="Make one answer of several models' predictions for frames, by a plan.",
        details=_DETAILS,
    )
    parser.add_argument("plan", metavar="PLAN.yaml", type=local_path, help="the plan")
    parser.add_argument(
        "--predictions",
        metavar="PREDICTIONS",
        type=local_path,
        required=True,
        help="folder of the members' predictions, NAME/SOURCE/VIDEO.parquet",
    )
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        type=local_path,
        help="labels of frames; needed where the plan chooses or fits, and for scores",
    )
    parser.add_argument(
        "--out",
        metavar="OUT",
        type=output_folder,
        required=True,
        help="folder of the ensemble's predictions; may be PREDICTIONS itself",
    )
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    require_files(options.plan)
    from dataclasses import asdict

    from avf_training.framewise.combination.plan import load_plan
    from avf_training.framewise.combination.run import EnsembleRun
    from avf_training.framewise.combination.write import write_ensemble
    from avf_training.framewise.tracks.frame_rates import warn_of_rates_together
    from avf_training.framewise.tracks.identity import name_some

    plan = load_plan(options.plan)
    run = EnsembleRun(plan, options.plan.parent, options.predictions, options.labels)
    if run.unpredicted:
        count, verb = count_noun(len(run.unpredicted), "labelled video"), "has" if len(run.unpredicted) == 1 else "have"
        log.warning("%s %s no predictions of any member: %s", count, verb, name_some(run.unpredicted))
    with warn_of_rates_together(), progress_line() as show:
        record = write_ensemble(
            run, options.out, lambda what, number, count: show(f"{what}: video {number} of {count}")
        )
    print_answer(options, asdict(record), "\n".join(_describe(record, options.out)))
    return 0


def _describe(record: "EnsembleRecord", out: Path) -> list[str]:
    """Return the lines that the command prints."""
    from avf_training.framewise.combination.fit_words import describe_fit
    from avf_training.framewise.tracks.track_folder import TrackFolder

    lines = [f"{'':<24}{'videos':>8}{'scored':>8}{'score':>9}{'smoothed':>10}"]
    for member in record.members:
        scores = f"{_format(member.scores):>9}{_format(member.smoothed_scores):>10}"
        lines.append(f"{member.name:<24}{member.answers:>8}{member.scored_videos:>8}{scores}")
    development = sum(video.is_development for video in record.videos)
    lines.append(f"{record.name:<24}{len(record.videos):>8}{development:>8}{_format(record.scores):>9}")
    if record.width_scores:
        tried = ", ".join(f"{width}: {score:.4f}" for width, score in record.width_scores.items() if score is not None)
        lines.append(f"{record.width_unit} {record.width:g} was chosen of {tried}")
    scored = [video for video in record.videos if video.is_development]
    if scored:
        lines += describe_fit(record, [video.subject for video in scored])
    related = [video for video in record.videos if video.scored and video.related]
    if related:
        lines.append(
            f"{count_noun(len(related), 'scored video')} of a person or file of which a member that answers was "
            f"trained on another video, such as {related[0].subject} ({', '.join(related[0].related)})"
        )
    lines += _describe_test(record)
    missing = sum(bool(video.missing) for video in record.videos)
    if missing:
        lines.append(f"{count_noun(missing, 'video')} without the predictions of some member, named in ensemble.json")
    filled = [sum(getattr(video, name) for video in record.videos) for name in ("interpolated", "repeated", "frames")]
    folder = TrackFolder(out).folder_of(record.name)
    lines.append(f"{folder}: {count_noun(filled[2], 'frame')}, {filled[0]:,} interpolated, {filled[1]:,} repeated")
    longest = max(record.videos, key=lambda video: video.longest_gap_s)
    if longest.longest_gap_s > _LONG_GAP_S and record.plan["most_interpolated_s"] is None:
        lines.append(
            f"  a straight line goes through gaps of up to {longest.longest_gap_s:.1f} s, as in "
            f"{longest.source}/{longest.video}; most_interpolated_s in the plan bounds them"
        )
    return lines


def _describe_test(record: "EnsembleRecord") -> list[str]:
    """Return the lines of the set test; none where no video of it is labelled."""
    from avf_training.framewise.tracks.identity import name_some

    videos = sum(video.is_test for video in record.videos)
    seen = [video.subject for video in record.videos if video.split == "test" and not video.scored]
    learned = []
    if seen:
        count, verb = count_noun(len(seen), "video"), "is" if len(seen) == 1 else "are"
        why = f"{record.learners} was trained on {'it' if len(seen) == 1 else 'them'}"
        learned = [f"{count} of the set test {verb} not scored, as {why}: {name_some(seen)}"]
    if not videos:
        return learned
    lines = ["the set test, on which nothing is chosen or fitted:"]
    for member in record.members:
        scores = f"{_format(member.test_scores):>9}{_format(member.smoothed_test_scores):>10}"
        lines.append(f"{member.name:<32}{member.test_videos:>8}{scores}")
    return [*lines, f"{record.name:<32}{videos:>8}{_format(record.test_scores):>9}", *learned]


def _format(scores: Any) -> str:
    value = scores.get("mean")
    return "–" if value is None else f"{value:.4f}"
