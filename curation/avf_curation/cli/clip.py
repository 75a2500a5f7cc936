"""avf-curate clip: one video becomes clips of its people, for a trained model to predict on."""

import argparse
import os
from pathlib import Path
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, local_path, output_folder, write_answer
from avf_shards.errors import UserError
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.cli.options import add_set_option, add_weights_option, weights_folder

SOURCE = "clip"


def add(commands: Any) -> None:
    """Add `clip`."""
    parser = add_command(
        commands,
        "clip",
        _run,
        help="Cut clips of each person out of one video, for avf-train predict; no clip is rejected.",
    )
    parser.add_argument("video", metavar="VIDEO", type=local_path, help="file of the video")
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="a new folder, or the folder of the same video"
    )
    add_set_option(parser, "one setting of the recipe `clip`; repeat for more")
    add_weights_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.packing.pack import pack_shards
    from avf_shards.packing.selection import Selection

    from avf_curation.console.progress_bar import StageSpinner
    from avf_curation.detectors.detector_set import resolve_backends
    from avf_curation.recipe import load_recipe
    from avf_curation.runs.curation import RunOptions, curate

    if not options.video.is_file():
        fault = "is a folder; name one video" if options.video.is_dir() else "no such file"
        raise UserError(f"{options.video}: {fault}")
    recipe = load_recipe(Path("clip"), options.set)
    backends = resolve_backends(recipe, weights_folder(options))
    source = _link_video(options.video, options.out / "in")
    with StageSpinner() as spinner:
        run = curate(
            recipe,
            backends,
            {SOURCE: source},
            options.out / "run",
            RunOptions(engine="inline"),
            on_progress=spinner,
        )
    rows = _clip_rows(run)
    if not rows:
        raise UserError(
            f"{options.video}: no clip can be cut from it: {_describe_rejections(run)}; "
            f"`avf-curate explain {options.out / 'run'} {options.video.name}` says more"
        )
    pack_shards(run, options.out / "shards", Selection())
    if not write_answer(options, rows):
        print(f"{options.video}: {len(rows)} clip{'s' if len(rows) > 1 else ''}; tracked by {backends.track}")
        for row in rows:
            print(f"  {row['start_s']:7.2f} to {row['stop_s']:7.2f} s  person {row['person'] + 1}  {row['key']}")
        print(f"next: avf-train predict {options.out} --model RUN")
    return 0


def _describe_rejections(run: Any) -> str:
    """Return why no second of the only video of a run was kept, the longest reason first."""
    from avf_shards.schema.ledger import table_to_decisions

    seconds: dict[str, float] = {}
    for decision in table_to_decisions(run.ledger()):
        reason = decision.message or decision.error or f"{decision.reason} ({decision.stage})"
        seconds[reason.replace("_", " ")] = seconds.get(reason.replace("_", " "), 0.0) + decision.span.seconds
    longest_first = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} for {length:.1f} s" if length else reason for reason, length in longest_first[:3])


def _link_video(video: Path, folder: Path) -> Path:
    """Return `folder` as a source that holds this video alone. Raises UserError when it holds another."""
    folder.mkdir(parents=True, exist_ok=True)
    others = [path for path in folder.iterdir() if path.resolve() != video.resolve()]
    if others:
        raise UserError(f"{folder.parent}: holds the clips of {others[0].name}; name a new folder for {video.name}")
    link = folder / video.name
    if not link.is_symlink():
        os.symlink(video.resolve(), link)
    return folder


def _clip_rows(run: Any) -> list[dict[str, Any]]:
    """Return key, start_s, stop_s and person of each clip, in the order of time."""
    from avf_shards.schema.ledger import table_to_decisions

    rows = []
    for decision in table_to_decisions(run.ledger()):
        start_s, stop_s = (frame / FRAMES_PER_SECOND for frame in (decision.span.start_frame, decision.span.stop_frame))
        for key in decision.clips:
            person = int(key.rpartition("-")[2])
            rows.append({"key": key, "start_s": start_s, "stop_s": stop_s, "person": person})
    return sorted(rows, key=lambda row: (row["start_s"], row["person"]))
