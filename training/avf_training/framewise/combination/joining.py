"""One answer of several without anything fitted: means and votes. M members, N frames, D outputs."""

import numpy as np

from avf_training.evaluation.metrics import Floats
from avf_training.framewise.combination.plan import EnsembleMember, EnsemblePlan
from avf_training.framewise.ensemble.dirichlet_fusion import zero_uncertain_rows
from avf_training.framewise.metrics import AU_THRESHOLD
from avf_training.framewise.postprocessing.votes import LabelTies, UnitTies, vote_action_units, vote_expressions

_WINNER = 0.5  # of a vote, added to the winner's, so that its share is the largest in a tie too


def silence_uncertain_audio(plan: EnsemblePlan, members: list[EnsembleMember], likelihoods_MND: Floats) -> Floats:
    """Return the likelihoods with rows of zeros where an audio member's entropy is above the plan's bound."""
    if plan.audio_entropy_nats is None:
        return likelihoods_MND
    return np.stack(
        [
            zero_uncertain_rows(rows_ND, most_nats=plan.audio_entropy_nats) if member.stream == "audio" else rows_ND
            for member, rows_ND in zip(members, likelihoods_MND, strict=True)
        ]
    )


def join_answers(plan: EnsemblePlan, members: list[EnsembleMember], likelihoods_MND: Floats) -> Floats:
    """Return the weighted mean of the members, or the shares of their votes, (N, D).

    The shares of a vote have half a vote more for the winner, so that the most likely class is the winner by the
    plan's tie rule.
    """
    if plan.method.kind == "vote":
        return _vote(plan, likelihoods_MND)
    weights_M = np.array([member.weight for member in members])
    counted_MND = silence_uncertain_audio(plan, members, likelihoods_MND)
    joined_ND = np.asarray(np.tensordot(weights_M / weights_M.sum(), counted_MND, 1))
    if plan.task != "expr":
        return joined_ND
    sums_N1 = joined_ND.sum(1, keepdims=True)
    # Where every member is uncertain, uncertain answers are better than none.
    plain_ND = np.tensordot(weights_M / weights_M.sum(), likelihoods_MND, 1)
    return np.where(sums_N1 > 0, joined_ND / np.where(sums_N1 > 0, sums_N1, 1), plain_ND)


def _vote(plan: EnsemblePlan, likelihoods_MND: Floats) -> Floats:
    members, _, outputs = likelihoods_MND.shape
    if plan.task == "au":
        labels_MNA = (likelihoods_MND >= AU_THRESHOLD).astype(np.int64)
        unit_ties: UnitTies = "mean_probability"
        if plan.method.ties in ("off", "on"):
            unit_ties = "off" if plan.method.ties == "off" else "on"
        on_NA = vote_action_units(labels_MNA, probabilities_MNA=likelihoods_MND, ties=unit_ties)
        return np.asarray((labels_MNA.sum(0) + _WINNER * on_NA) / (members + _WINNER))
    labels_MN = likelihoods_MND.argmax(2)
    label_ties: LabelTies = "mean_probability"
    if plan.method.ties in ("lowest", "first_model"):
        label_ties = "lowest" if plan.method.ties == "lowest" else "first_model"
    winner_N = vote_expressions(labels_MN, probabilities_MNC=likelihoods_MND, ties=label_ties)
    votes_NC = (labels_MN[..., None] == np.arange(outputs)).sum(0) + _WINNER * np.eye(outputs)[winner_N]
    return np.asarray(votes_NC / (members + _WINNER))
