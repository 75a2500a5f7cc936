"""avf-train frame-folds: which labelled videos train and which validate, by groups; and a proposal of scenes."""

import argparse
import logging
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.paths import local_path, own_file
from avf_shards.errors import UserError
from avf_shards.system.own_files import OwnFile
from avf_shards.text import count_noun

from avf_training.cli.submission import add_task_option

log = logging.getLogger(__name__)
_MAX_NAMED = 5  # videos without a proposal
_DETAILS = """\
Everything of one person or media file is in one fold, and the folds have about equally many valid labels. Five of them
are those of the settings fold and fold_seed of train-frames. The file names the seed, and ensemble-frames reads it.

With --footage or --measures, scenes are proposed for a person to correct: reaction where the mouth is open in at most
25 % of the time, a face is in at least 90 % of all frames, and there is at most one cut a minute. Of shards, the
records say it: sampled faces, shots, where the mouth moves as in speech, or else tracks of mouth or speech."""


def add(commands: Any) -> None:
    """Add `frame-folds`."""
    parser = add_command(
        commands, "frame-folds", _run, help="Draw grouped folds of videos with labels for frames.", details=_DETAILS
    )
    parser.add_argument("labels", metavar="LABELS", type=local_path, help="labels of frames, TASK/SOURCE/VIDEO.parquet")
    add_task_option(parser)
    parser.add_argument("--folds", metavar="N", type=int, default=5, help="number of folds (default: %(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument(
        "--splits",
        metavar="SET,...",
        default="train,validation,none",
        help="sets whose videos are drawn; none: videos in no set (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", type=own_file(_folds), required=True, help="folds.json to write")
    footage = parser.add_mutually_exclusive_group()
    footage.add_argument(
        "--footage", metavar="SHARDS", help="shards of the videos, or their address, whose records have measures"
    )
    parser.add_argument(
        "--voice", metavar="TRACKS", type=local_path, help="with --footage: tracks of the extractor mouth or speech"
    )
    footage.add_argument(
        "--measures",
        metavar="FILE.csv",
        type=local_path,
        help="table with the columns video, open_mouth_share, face_share and cuts_per_minute",
    )
    parser.add_argument(
        "--scenes",
        metavar="FILE.csv",
        type=own_file(_scenes),
        help="table of proposed scenes to write",
    )
    add_json_option(parser)


def _folds() -> OwnFile:
    from avf_training.framewise.ensemble.fold_table import FOLDS

    return FOLDS


def _scenes() -> OwnFile:
    from avf_training.framewise.ensemble.scenes import SCENES

    return SCENES


def _run(options: argparse.Namespace) -> int:
    from collections import Counter
    from dataclasses import asdict

    from avf_training.framewise.ensemble.fold_table import draw_fold_table, write_fold_table

    given = options.measures is not None or options.footage is not None
    if given != (options.scenes is not None):
        raise UserError("--scenes belongs together with --footage or --measures; give both or none")
    if options.voice is not None and options.footage is None:
        raise UserError("--voice belongs to --footage")
    if options.folds < 2:
        raise UserError(f"--folds {options.folds}: must be at least 2")
    if given:
        _propose_scenes(options)
    subjects = _list_subjects(options.labels, options.task, options.splits)
    table = draw_fold_table(options.task, subjects, folds=options.folds, seed=options.seed)
    write_fold_table(options.out, table)
    videos, frames = Counter(row.fold for row in table.rows), Counter[int]()
    for row in table.rows:
        frames[row.fold] += row.frames
    for fold in range(1, table.folds + 1):
        if not frames[fold]:
            log.warning("fold %d has no frame with a valid label, so that nothing can be scored on it", fold)
    lines = [f"{'fold':<6}{'videos':>8}{'valid frames':>14}"]
    lines += [f"{fold:<6}{videos[fold]:>8}{frames[fold]:>14,}" for fold in range(1, table.folds + 1)]
    print_answer(options, asdict(table), "\n".join([*lines, f"{options.out}: seed {table.seed}"]))
    return 0


def _list_subjects(labels: Path, task: str, splits: str) -> Any:
    """Return the labelled persons of some sets. Raises UserError for an unknown set, or where there is nobody."""
    from avf_training.framewise.ensemble.fold_table import FoldSubject
    from avf_training.framewise.labels.label_track import list_label_tracks

    names = [name.strip() for name in splits.split(",")]
    unknown = [name for name in names if name not in ("train", "validation", "test", "none")]
    if unknown:
        raise UserError(f"--splits {splits}: {unknown[0]!r} is no set; the sets are train, validation, test and none")
    subjects = [
        FoldSubject(
            source=track.subject.source,
            video=track.subject.video_id,
            person=track.subject.person,
            group=track.group,
            frames=int(track.is_valid.sum()),
        )
        for track in list_label_tracks(labels, task)
        if (track.split or "none") in names
    ]
    if not subjects:
        raise UserError(f"{labels}: no video of the sets {splits}; name others with --splits")
    return subjects


def _propose_scenes(options: argparse.Namespace) -> None:
    """Write a proposal for each video of a table or of shards; videos that cannot be measured are named, without one.

    Raises UserError where two corpora have a video of one name, which the table could not tell apart.
    """
    from avf_training.framewise.ensemble.scenes import propose_scene, read_measures, warn_of_unmatched, write_scenes
    from avf_training.framewise.labels.footage_measures import measure_footage
    from avf_training.framewise.labels.label_track import list_label_tracks

    if options.measures is not None:
        scenes = {video: propose_scene(each) for video, each in read_measures(options.measures).items()}
    else:
        faults: list[str] = []
        measured = measure_footage(options.footage, options.voice, faults.append)
        for fault in faults[:_MAX_NAMED]:
            log.warning("no scene: %s", fault)
        if len(faults) > _MAX_NAMED:
            log.warning("no scene for %s more", count_noun(len(faults) - _MAX_NAMED, "video"))
        scenes = {video: each.propose() for (_, video), each in measured.items()}
        if len(scenes) < len(measured):
            raise UserError(
                f"{options.footage}: two corpora have a video of one name; propose scenes for one at a time"
            )
    write_scenes(options.scenes, scenes)
    labelled = {track.subject.video_id for track in list_label_tracks(options.labels, options.task)}
    warn_of_unmatched(options.scenes, scenes, labelled)
    reactions = sum(each.scene == "reaction" for each in scenes.values())
    log.info("%s: %d of %s proposed as reaction", options.scenes, reactions, count_noun(len(scenes), "video"))
