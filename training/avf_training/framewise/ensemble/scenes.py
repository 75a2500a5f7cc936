"""The scene split of NetEase: videos of people who react to something are answered by models trained on those alone.

Which videos these are was never published. A table has the column `scene`; a proposal can fill it, which people
correct.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avf_shards.errors import UserError
from avf_shards.system.durable_io import replace_file
from avf_shards.system.own_files import require_replaceable, text_with
from avf_shards.text import count_noun

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.csv_tables import read_csv_rows

log = logging.getLogger(__name__)
Scene = Literal["reaction", "other"]
COLUMNS = ("video", "scene", "reason")
MEASURE_COLUMNS = ("video", "open_mouth_share", "face_share", "cuts_per_minute")

MOST_OPEN_SHARE = 0.25  # of frames with an open mouth: a viewer listens; speakers have about 0.4
LEAST_FACE_SHARE = 0.9  # of frames with a face: a viewer sits before the camera
MOST_CUTS_PER_MINUTE = 1.0  # a viewer is filmed without cuts
_MAX_NAMED = 5  # videos in a warning


@dataclass(frozen=True, kw_only=True)
class SceneMeasures:
    """What the proposal looks at, for one video."""

    open_mouth_share: float  # of the frames with a face
    face_share: float  # of all frames
    cuts_per_minute: float


@dataclass(frozen=True, kw_only=True)
class SceneChoice:
    """The scene of a video and why."""

    scene: Scene
    reason: str  # measured values, or what a person wrote


def propose_scene(measures: SceneMeasures) -> SceneChoice:
    """Propose `reaction` where the mouth is mostly closed, the face mostly there, and nothing is cut.

    All three have to hold. It is a proposal: who talks while watching is missed, and a silent portrait is not.
    """
    reaction = (
        measures.open_mouth_share <= MOST_OPEN_SHARE
        and measures.face_share >= LEAST_FACE_SHARE
        and measures.cuts_per_minute <= MOST_CUTS_PER_MINUTE
    )
    reason = (
        f"proposed: mouth open {measures.open_mouth_share:.2f}, face {measures.face_share:.2f}, "
        f"{measures.cuts_per_minute:.1f} cuts a minute"
    )
    return SceneChoice(scene="reaction" if reaction else "other", reason=reason)


def read_measures(path: Path) -> dict[str, SceneMeasures]:
    """Read a table of measures: video, open_mouth_share, face_share, cuts_per_minute.

    Raises UserError naming file and line for a missing column, a repeated video, or a value that is no such share.
    """
    measures: dict[str, SceneMeasures] = {}
    for where, row in read_csv_rows(path, MEASURE_COLUMNS):
        try:
            values = {name: float(row[name]) for name in MEASURE_COLUMNS[1:]}
        except ValueError:
            raise UserError(f"{where}: {', '.join(MEASURE_COLUMNS[1:])} must be numbers") from None
        shares = (values["open_mouth_share"], values["face_share"])
        if not all(0 <= share <= 1 for share in shares) or not 0 <= values["cuts_per_minute"] < float("inf"):
            raise UserError(f"{where}: shares lie from 0 to 1, and cuts_per_minute is 0 or more")
        if not row["video"] or row["video"] in measures:
            raise UserError(f"{where}: {'no video' if not row['video'] else 'video ' + row['video'] + ' again'}")
        measures[row["video"]] = SceneMeasures(**values)
    return measures


SCENES = text_with("a table of scenes", ",".join(COLUMNS))
"""What `write_scenes` may replace."""


def write_scenes(path: Path, scenes: Mapping[str, SceneChoice]) -> None:
    """Write the table, sorted by video, for a person to correct. Raises UserError where another file stands there."""
    require_replaceable(path, SCENES)
    lines = [",".join(COLUMNS)]
    for video, choice in sorted(scenes.items()):
        quoted = (f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in (video, choice.scene, choice.reason))
        lines.append(",".join(quoted))
    replace_file(path, ("\n".join(lines) + "\n").encode())


def read_scenes(path: Path) -> dict[str, SceneChoice]:
    """Read the table.

    Raises UserError naming file and line for another scene, a repeated video, or a missing column.
    """
    scenes: dict[str, SceneChoice] = {}
    for where, row in read_csv_rows(path, COLUMNS[:2]):
        video, scene = row["video"], row["scene"]
        if scene not in ("reaction", "other"):
            raise UserError(f"{where}: scene {scene!r}; it is reaction or other")
        if not video or video in scenes:
            raise UserError(f"{where}: {'no video' if not video else f'video {video} again'}")
        scenes[video] = SceneChoice(
            scene="reaction" if scene == "reaction" else "other", reason=row.get("reason") or ""
        )
    return scenes


def warn_of_unmatched(table: Path, scenes: Collection[str], labelled: Collection[str]) -> None:
    """Log which videos of a table of scenes have no labels, and how many labelled videos it lacks."""
    unknown = sorted({*scenes} - {*labelled})
    if unknown:
        named = ", ".join(map(repr, unknown[:_MAX_NAMED])) + (", ..." if len(unknown) > _MAX_NAMED else "")
        log.warning(
            "%s: %d of %s have no labels here: %s; names are compared letter by letter",
            *(table, len(unknown), count_noun(len({*scenes}), "video"), named),
        )
    lacking = len({*labelled} - {*scenes})
    if lacking:
        log.warning("%s: has no scene of %d of %s", table, lacking, count_noun(len({*labelled}), "labelled video"))


def answer_by_scene(video: str, scenes: Mapping[str, SceneChoice], answers: Mapping[Scene, Floats]) -> Floats:
    """Return the prediction of the models of a video's scene; `other` are those trained on all videos.

    A video that is not in the table is `other`.
    """
    scene: Scene = scenes[video].scene if video in scenes else "other"
    return answers[scene]
