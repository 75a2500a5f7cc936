"""The folds of NetEase's script of 2022, votes, means and the Gaussian, beside what scripts and libraries gave.

The two filters of class sequences in the same file are described nowhere and not compared; those of class_runs.py
follow rules of their own.
"""

from typing import Any

import numpy as np

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.ensemble.folds import folds_of_2022
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_equal, compare_pairs
from avf_training.framewise.postprocessing import smoothing, votes

TOLERANCE = 1e-10
ROWS_OF_A_VIDEO = 3  # in the made tables of both cases
TRAINING_VIDEOS = {"clean": 35, "contained": 20}


def compare_folds(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return folds and votes, which have to be equal, and means and smoothed values."""
    equal = [pair for case in TRAINING_VIDEOS for pair in _folds(case, oracle[case])]
    members, gaussian = oracle["ensemble_derived"], oracle["gaussian_derived"]
    labels, units = np.asarray(members["expr_labels"]), np.asarray(members["au"])
    equal += [
        (
            "expr_vote_ties_lowest",
            votes.vote_expressions(labels, ties="lowest").tolist(),
            members["expr_vote_ties_lowest"],
        ),
        (
            "expr_vote_ties_first_model",
            votes.vote_expressions(labels, ties="first_model").tolist(),
            members["expr_vote_ties_first_model"],
        ),
        (
            "au_vote_majority_strict",
            votes.vote_action_units(units, ties="off").tolist(),
            members["au_vote_majority_strict"],
        ),
        ("au_vote_ties_on", votes.vote_action_units(units, ties="on").tolist(), members["au_vote_ties_on"]),
    ]
    values: list[Pair] = [
        ("va_mean_then_clip", votes.mean_values(np.asarray(members["va"])), members["va_mean_then_clip"])
    ]
    for name, theirs in gaussian.items():
        if "sigma=" in name:
            sigma = float(name.partition("sigma=")[2].split()[0])
            values.append((name, smoothing.smooth_gaussian(np.asarray(gaussian["in"]), sigma), theirs))
    return [
        compare_equal(file, "folds and votes", equal),
        compare_pairs(file, "means and Gaussian", values, TOLERANCE),
    ]


def _folds(case: str, theirs: dict[str, Any]) -> list[tuple[str, object, object]]:
    videos = theirs["videos_in_order"]
    paths = [f"{video}/{frame:05d}.jpg" for video in videos for frame in range(1, ROWS_OF_A_VIDEO + 1)]
    cut = TRAINING_VIDEOS[case] * ROWS_OF_A_VIDEO
    ours = folds_of_2022(paths[:cut], paths[cut:])
    equal: list[tuple[str, object, object]] = [
        (f"{case}: lost", list(ours.lost), theirs["videos_lost_by_duplicate_index"]),
        (f"{case}: held out", list(ours.held_out), theirs["held_out_10pct"]),
    ]
    for index, (fold, their_fold) in enumerate(zip(ours.folds, theirs["folds"], strict=True)):
        equal += [
            (f"{case}: validation of fold {index}", list(fold.validation), their_fold["validation"]),
            (f"{case}: training videos of fold {index}", len(fold.training), their_fold["n_train"]),
            (f"{case}: rows of fold {index}", list(fold.rows), their_fold["rows"]),
            (f"{case}: leak of fold {index}", list(fold.leaked), their_fold["overlap_train_val"]),
        ]
    return equal
