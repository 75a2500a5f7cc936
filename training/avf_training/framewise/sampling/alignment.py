"""Labels and pictures of a video, which are not always equally many.

Label i belongs to frame i, counted from 1. Pictures behind the last label are cut; labels behind the last picture
repeat that picture; frames in between may have no picture, where no face was found.
"""

from dataclasses import dataclass

import numpy as np
from avf_shards.errors import UserError
from avf_shards.text import count_noun

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.metrics import WholeNumbers


@dataclass(frozen=True, kw_only=True)
class AlignedRows:
    """A row for each label that has a picture, or repeats the last one."""

    picture_rows: WholeNumbers  # (R,) which of the given pictures
    frame_numbers: WholeNumbers  # (R,) from 1; the label is that of this frame
    times_s: Floats  # (R,) of the frames
    repeated: int  # rows at the end that repeat the last picture
    cut_pictures: int  # pictures behind the last label
    missing_pictures: int  # labels before the last picture that have none


def align_labels(frame_numbers_N: WholeNumbers, times_s_N: Floats, labels: int) -> AlignedRows:
    """Align the pictures of a video, by rising frame number, with its labels.

    A repeated row has the next frame number and the last step between frames more, rounded to hundredths of a second.
    Raises UserError where there is no picture, or numbers do not rise from 1.
    """
    if not len(frame_numbers_N):
        raise UserError(f"a video with {count_noun(labels, 'label')} has no picture to align them with")
    if frame_numbers_N[0] < 1 or (np.diff(frame_numbers_N) < 1).any():
        raise UserError("frame numbers must rise from 1 on, each once")
    inside_N = frame_numbers_N <= labels
    rows = np.flatnonzero(inside_N).astype(np.int64)
    numbers, times_s = frame_numbers_N[inside_N].astype(np.int64), times_s_N[inside_N]
    last_number = int(frame_numbers_N[-1])
    repeated = max(0, labels - last_number)
    step_s = times_s_N[-1] - times_s_N[-2] if len(times_s_N) > 1 else times_s_N[0] / frame_numbers_N[0]
    extra = np.arange(1, repeated + 1)
    return AlignedRows(
        picture_rows=np.concatenate([rows, np.full(repeated, len(frame_numbers_N) - 1, np.int64)]),
        frame_numbers=np.concatenate([numbers, last_number + extra]),
        times_s=np.concatenate([times_s, np.round(times_s_N[-1] + extra * step_s, 2)]),
        repeated=repeated,
        cut_pictures=int((~inside_N).sum()),
        missing_pictures=min(labels, last_number) - len(rows),
    )
