"""avf-curate clip: videos become clips of their people, for a trained model to predict on."""

import argparse
import logging
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, write_answer
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError
from avf_shards.text import count_noun, printable, shell_word
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.cli.options import add_follow_option, add_set_option, add_weights_option, weights_folder

_LOG = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Add `clip`."""
    parser = add_command(
        commands,
        "clip",
        _run,
        help="Cut clips of each person out of videos, for avf-train predict; no clip is rejected.",
    )
    parser.add_argument("videos", metavar="VIDEO|DIR", type=local_path, help="file of a video, or a folder of videos")
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="a new folder, or the folder of the same videos"
    )
    add_set_option(parser, "one setting of the recipe `clip`; repeat for more")
    add_follow_option(parser)
    add_weights_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.sources.media_names import holds_video

    if not holds_video(options.videos):  # before the imports below, which load the detectors
        raise UserError(
            f"{options.videos}: {'holds no video' if options.videos.exists() else 'no such file or folder'}"
        )
    from avf_curation.console.progress_bar import clip_display
    from avf_curation.runs.video_clips import clip_videos

    with clip_display(options.videos) as display:
        clips = clip_videos(
            options.videos,
            options.out,
            settings=options.set,
            weights=weights_folder(options),
            follow_symlinks=options.follow_symlinks,
            on_progress=display,
        )
    run = shell_word(options.out / "run")
    missed = [
        f"{sentence}; `avf-curate explain {run} {shell_word(name)}` says more"
        for name, sentence in clips.missed.items()
    ]
    if not clips.keys:
        raise UserError("\n".join(missed) or f"{options.videos}: holds no video")
    for sentence in (*missed, *clips.copies.values()):
        _LOG.warning("%s", sentence)
    rows = [row for row in _clip_rows(clips.run) if row["key"] in clips.keys]
    if not write_answer(options, rows):
        print(f"{options.videos}: {count_noun(len(rows), 'clip')}; tracked by {clips.backends.track}")
        for row in rows:
            name = f"  {printable(str(row['video']))}" if options.videos.is_dir() else ""
            print(f"  {row['start_s']:7.2f} to {row['stop_s']:7.2f} s  person {row['person'] + 1}  {row['key']}{name}")
        print(f"next: avf-train predict {shell_word(options.out)} --model RUN")
    return 0


def _clip_rows(run: Any) -> list[dict[str, Any]]:
    """Return key, video, start_s, stop_s and person of each clip, in the order of videos and time."""
    from avf_shards.schema.ledger import table_to_decisions

    rows = []
    for decision in table_to_decisions(run.ledger()):
        start_s, stop_s = (frame / FRAMES_PER_SECOND for frame in (decision.span.start_frame, decision.span.stop_frame))
        for key in decision.clips:
            person = int(key.rpartition("-")[2])
            rows.append(
                {"key": key, "video": decision.video_id, "start_s": start_s, "stop_s": stop_s, "person": person}
            )
    return sorted(rows, key=lambda row: (row["video"], row["start_s"], row["person"]))
