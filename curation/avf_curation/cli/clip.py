"""avf-curate clip: one video to clips of its people, for a trained model to look at."""

import argparse
import os
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, write_answer
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.cli.options import weights_folder, weights_option

SOURCE = "clip"


def add(commands: Any) -> None:
    """Add it to avf-curate's parser."""
    one = commands.add_parser("clip", help="one video to clips of its people, nothing rejected; for avf-train predict")
    one.add_argument("video", metavar="VIDEO", type=Path)
    one.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder, or one of the same video")
    one.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="field of the recipe `clip`")
    weights_option(one)
    json_option(one)
    one.set_defaults(run=_clip)


def _clip(options: argparse.Namespace) -> int:
    from avf_shards.packing.pack import pack_shards
    from avf_shards.packing.selection import Selection

    from avf_curation.detectors.detector_set import resolve_backends
    from avf_curation.recipe import load_recipe
    from avf_curation.runs.curate import curate

    if not options.video.is_file():
        what = "is a folder; name one video" if options.video.is_dir() else "no such file"
        raise UserError(f"{options.video}: {what}")
    recipe = load_recipe(Path("clip"), options.set)
    choice = resolve_backends(recipe, weights_folder(options))
    source = _linked(options.video, options.out / "in")
    run = curate(recipe, choice, {SOURCE: source}, options.out / "run", engine="inline")
    rows = _clips(run)
    if not rows:
        raise UserError(
            f"{options.video}: no face is in it, or it cannot be read; {options.out / 'run'} tells per span"
        )
    pack_shards(run, options.out / "shards", Selection())
    if not write_answer(options, rows):
        print(f"{options.video}: {len(rows)} clip{'s' if len(rows) > 1 else ''}; backends {choice.track}")
        for row in rows:
            print(f"  {row['start_s']:7.2f} to {row['stop_s']:7.2f} s  person {row['person'] + 1}  {row['key']}")
        print(f"next: avf-train predict {options.out} --model RUN")
    return 0


def _linked(video: Path, folder: Path) -> Path:
    """A source folder that holds this video alone. Raises UserError when it holds another."""
    folder.mkdir(parents=True, exist_ok=True)
    others = [one for one in folder.iterdir() if one.resolve() != video.resolve()]
    if others:
        raise UserError(f"{folder.parent}: is of {others[0].name}; name a new folder for {video.name}")
    link = folder / video.name
    if not link.is_symlink():
        os.symlink(video.resolve(), link)
    return folder


def _clips(run: RunFolder) -> list[dict[str, Any]]:
    from avf_shards.schema.ledger import table_to_decisions

    found = []
    for decision in table_to_decisions(run.ledger()):
        start_s, stop_s = (frame / FRAMES_PER_SECOND for frame in (decision.span.start_frame, decision.span.stop_frame))
        for key in decision.clips:
            person = int(key.rpartition("-")[2])
            found.append({"key": key, "start_s": start_s, "stop_s": stop_s, "person": person})
    return sorted(found, key=lambda row: (row["start_s"], row["person"]))
