"""Interpolation, smoothing and votes of ensembles, at all rates and widths."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from avf_training.framewise.combination.alignment import align_tracks
from avf_training.framewise.combination.joining import join_answers
from avf_training.framewise.combination.smoothing_choice import smooth_likelihoods
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.postprocessing.timeline import grid_at_labels, interpolate_to_grid
from avf_training.framewise.predictions.likelihoods import to_likelihoods
from hypothesis import given
from hypothesis import strategies as st
from support.frame_ensembles import make_plan
from support.frame_predictions import (
    make_prediction,
    make_truth,
    make_vectors,
)


@pytest.mark.parametrize("protocol", ["ours", "authors_code"])
def test_interpolation_by_the_authors_is_over_times_of_their_grid(protocol: Any) -> None:
    plan, fps = make_plan("va", ["a"], protocol=protocol), 29.97
    frames_N = np.array([1, 2, 5, 9, 10])
    vectors_ND = make_truth("va", "v", 10)[frames_N - 1]
    track = make_prediction("a", "va", "v", vectors_ND, frames_N=frames_N, fps=fps)
    aligned = align_tracks(plan.label_task, [track], "every", clock=plan.clock)
    times_s, on_grid = interpolate_to_grid(
        np.round(frames_N / fps, 2), to_likelihoods(plan.label_task, track.vectors_ND)
    )
    _, expected = grid_at_labels(times_s, on_grid, np.round(aligned.frames_N / fps, 2))
    difference = np.abs(aligned.likelihoods_MND[0] - expected).max()
    assert (difference < 1e-9) == (protocol == "authors_code")


@given(
    fps=st.floats(6, 60), frames=st.integers(1, 200), task=st.sampled_from(["va", "expr", "au"]),
    kind=st.sampled_from(["gaussian", "hamming"]), edges=st.sampled_from([None, "renormalise", "zero"]),
    protocol=st.sampled_from(["ours", "authors_code"]), development=st.booleans(),
)  # fmt: skip
def test_smoothed_likelihoods_stay_likelihoods_and_constants_stay_where_edges_are_kept(
    *, fps: float, frames: int, task: str, kind: Any, edges: Any, protocol: Any, development: bool
) -> None:
    plan = make_plan(task, ["m"], protocol=protocol)
    plan = replace(plan, smoothing=replace(plan.smoothing, kind=kind, edges=edges))
    width = 5.0 if kind == "gaussian" else None
    likelihoods = to_likelihoods(find_task(task), make_vectors(task, make_truth(task, "v", frames), 0.5, frames))
    numbers = np.arange(1, frames + 1)
    smoothed = smooth_likelihoods(plan, likelihoods, numbers, fps, width, is_development=development)
    assert smoothed.shape == likelihoods.shape
    assert np.isfinite(smoothed).all()
    assert (np.abs(smoothed) <= 1 + 1e-12).all()
    constant = np.repeat(likelihoods[:1], frames, 0)
    smoothed = smooth_likelihoods(plan, constant, numbers, fps, width, is_development=development)
    zero = edges == "zero" or (edges is None and kind == "hamming" and protocol == "authors_code")
    if not zero:
        np.testing.assert_allclose(smoothed, constant, atol=1e-9)


@given(
    seed=st.integers(0, 200), members=st.integers(1, 6),
    rule=st.sampled_from([("expr", "mean_probability"), ("expr", "lowest"), ("expr", "first_model"),
                          ("au", "mean_probability"), ("au", "off"), ("au", "on")]),
)  # fmt: skip
def test_the_likeliest_of_a_vote_is_its_winner(seed: int, members: int, rule: tuple[str, str]) -> None:
    task, ties = rule
    random = np.random.default_rng(seed)
    shape = (members, 30, find_task(task).outputs)
    likelihoods = random.random(shape) if task == "au" else random.dirichlet(np.full(shape[2], 0.3), shape[:2])
    plan = make_plan(task, [f"m{n}" for n in range(members)])
    plan = replace(plan, method=replace(plan.method, kind="vote", ties=ties))
    shares = join_answers(plan, list(plan.members), likelihoods)
    assert ((shares >= 0) & (shares <= 1)).all()
    if task == "au":
        votes = (likelihoods >= 0.5).sum(0)
        clear = 2 * votes != members
        assert ((shares >= 0.5) == (2 * votes > members))[clear].all()
        tied = (shares >= 0.5)[~clear]
        expected = {"on": True, "off": False}.get(ties)
        assert (tied == (likelihoods.mean(0)[~clear] >= 0.5 if expected is None else expected)).all()
        return
    votes = (likelihoods.argmax(2)[..., None] == np.arange(8)).sum(0)
    winners = shares.argmax(1)
    assert (np.take_along_axis(votes, winners[:, None], 1)[:, 0] == votes.max(1)).all()
    if ties == "lowest":
        assert (winners == votes.argmax(1)).all()
