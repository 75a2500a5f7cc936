"""Predictions of overlapping clips by row of the video. K clips of T frames, N rows, D outputs."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from avf_training.evaluation.metrics import Floats

Repeated = Literal["mean", "last"]
"""Prediction of a row that several clips hold."""


def merge_overlaps(
    predictions_KTD: Floats,
    rows_KT: npt.NDArray[np.int64],
    rows: int,
    *,
    valid_KT: npt.NDArray[np.bool_] | None = None,
    several: Repeated = "mean",
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return a prediction for each row, (N, D), and which rows have one, (N,); a row without one is nan.

    Args:
        rows_KT: row of each prediction; negative ones are padding.
        valid_KT: which predictions count; all where None.
        several: the mean of a row's predictions, or that of the last clip, as in NetEase's code.
    """
    counted_KT = rows_KT >= 0
    if valid_KT is not None:
        counted_KT &= valid_KT
    sums_ND, counts_N = np.zeros((rows, predictions_KTD.shape[2])), np.zeros(rows)
    for clip, (row_T, counted_T) in enumerate(zip(rows_KT, counted_KT, strict=True)):
        used = row_T[counted_T]
        if several == "last":
            sums_ND[used], counts_N[used] = predictions_KTD[clip][counted_T], 1
        else:
            np.add.at(sums_ND, used, predictions_KTD[clip][counted_T])
            np.add.at(counts_N, used, 1)
    covered_N = counts_N > 0
    merged_ND = np.full_like(sums_ND, np.nan)
    merged_ND[covered_N] = sums_ND[covered_N] / counts_N[covered_N, None]
    return merged_ND, covered_N
