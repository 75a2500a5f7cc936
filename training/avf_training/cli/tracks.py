"""avf-train tracks: what a folder of feature tracks holds, each file read and checked."""

import argparse
import logging
from collections import Counter
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.paths import local_path
from avf_shards.text import count_noun

log = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Add `tracks`."""
    parser = add_command(
        commands, "tracks", _run, help="Read every feature track of a folder, and list them by extractor and by fault."
    )
    parser.add_argument("folder", metavar="TRACKS", type=local_path, help="folder that `avf-train extract` wrote")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_training.framewise.tracks.track_folder import TrackFolder

    tracks: Counter[tuple[str, str, int, str]] = Counter()
    frames: Counter[tuple[str, str, int, str]] = Counter()
    faults = []
    for checked in TrackFolder(options.folder).check():
        if checked.fault:
            faults.append(checked.fault)
            log.error("%s", checked.fault)
        elif checked.track is not None:
            track = checked.track
            group = (track.extractor.name, track.extractor.digest, track.width, str(track.vectors_ND.dtype))
            tracks[group] += 1
            frames[group] += len(track.frames_N)
    names = ("extractor", "digest", "width", "values")
    rows = [
        dict(zip(names, group, strict=True)) | {"tracks": tracks[group], "frames": frames[group]} for group in tracks
    ]
    lines = [f"{'extractor':<18}{'digest':<14}{'width':>6}{'values':>9}{'tracks':>8}{'vectors':>12}"]
    for (name, digest, width, values), count in tracks.items():
        lines.append(
            f"{name:<18}{digest[:12]:<14}{width:>6}{values:>9}{count:>8}{frames[name, digest, width, values]:>12,}"
        )
    for name, count in Counter(group[0] for group in tracks).items():
        if count > 1:
            lines.append(f"{name}: tracks of {count} weights, settings or number types in one folder")
    if faults:
        lines.append(f"{count_noun(len(faults), 'file')} cannot be used")
    print_answer(options, {"extractors": rows, "faults": faults}, "\n".join(lines))
    return 1 if faults else 0
