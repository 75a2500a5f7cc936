"""Filters of a sequence of class labels: short runs, and the most frequent label of a window."""

import numpy as np

from avf_training.framewise.metrics import WholeNumbers


def merge_short_runs(labels_N: WholeNumbers, shortest: int) -> WholeNumbers:
    """Return the labels with each run below `shortest` frames given to the longer of its neighbours, shortest first.

    Of equally long neighbours the earlier one gets it. A sequence of one run stays.
    """
    runs = _runs_of(labels_N)
    while len(runs) > 1:
        index = min(range(len(runs)), key=lambda each: (runs[each][1], each))
        if runs[index][1] >= shortest:
            break
        before = runs[index - 1][1] if index else -1
        behind = runs[index + 1][1] if index + 1 < len(runs) else -1
        neighbour = index - 1 if before >= behind else index + 1
        runs[neighbour] = runs[neighbour][0], runs[neighbour][1] + runs[index][1]
        del runs[index]
        runs = _joined(runs)
    return np.repeat([label for label, _ in runs], [length for _, length in runs]).astype(np.int64)


def majority_filter(labels_N: WholeNumbers, window: int) -> WholeNumbers:
    """Return the most frequent label of the `window` frames around each frame; a tie leaves the frame its own.

    Where it is not among the tied, the lowest label wins.
    """
    half = window // 2
    filtered_N = labels_N.copy()
    for frame in range(len(labels_N)):
        counts = np.bincount(labels_N[max(0, frame - half) : frame + half + 1])
        if counts[labels_N[frame]] < counts.max():
            filtered_N[frame] = counts.argmax()
    return filtered_N


def _runs_of(labels_N: WholeNumbers) -> list[tuple[int, int]]:
    return _joined([(int(label), 1) for label in labels_N])


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (label, length) with neighbours of the same label joined."""
    joined: list[tuple[int, int]] = []
    for label, length in runs:
        if joined and joined[-1][0] == label:
            length += joined.pop()[1]
        joined.append((label, length))
    return joined
