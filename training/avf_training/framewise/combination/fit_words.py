"""What an ensemble chose and fitted on videos that are scored, in sentences for the terminal and the page."""

from collections.abc import Collection

from avf_training.framewise.combination.plan import FITTED_METHODS
from avf_training.framewise.combination.record import EnsembleRecord
from avf_training.framewise.tracks.identity import TrackSubject


def describe_fit(record: EnsembleRecord, scored: Collection[TrackSubject]) -> list[str]:
    """Return sentences on what was chosen and fitted on scored videos, and what their score therefore says."""
    kind, chosen = record.plan["method"]["kind"], [*scored]
    development = {video.subject for video in record.videos if video.is_development}
    fitted = sum(subject in development for subject in chosen)
    these = "these videos" if fitted == len(chosen) else f"{fitted:,} of these videos"
    sentences = []
    if record.width_scores and fitted:
        sentences.append(f"The width of the smoothing was chosen on {these}, and fits them better than new ones.")
    if kind == "dirichlet" and fitted:
        sentences.append(_describe_weights(record, these))
    if kind == "forest" and fitted:
        sentences.append(_describe_forests(record, these))
    if not sentences:
        sentences.append("Nothing of the ensemble was chosen or fitted on these videos.")
    below = [member.name for member in record.members if member.settings.get("method") in FITTED_METHODS]
    if below:
        names, verb = ", ".join(below), "is an ensemble" if len(below) == 1 else "are ensembles"
        sentences.append(f"The member{'s' if len(below) > 1 else ''} {names} {verb} with fits of their own, on videos "
                         "that their records name.")  # fmt: skip
    return sentences


def _describe_weights(record: EnsembleRecord, these: str) -> str:
    fitting = record.fitting
    own = f"The weights were chosen on {these}, whose score therefore says too much of new ones"
    if fitting.left_out_score is None:
        return f"{own}: {_format(fitting.chosen_score)} on the frames that chose them; {_NONE_LEFT_OUT}."
    return (
        f"{own}: {_format(fitting.chosen_score)} on the frames that chose them, and "
        f"{_format(fitting.left_out_score)} where each person or file is answered by weights that others chose."
    )


def _describe_forests(record: EnsembleRecord, these: str) -> str:
    fitting = record.fitting
    leaking = f"{_format(fitting.out_of_bag_score)} out of bag, where a frame's neighbours were learned, which leaks"
    if fitting.groups == 1 or (not fitting.groups and fitting.left_out_score is None):
        return f"The forests were fitted on {these}, and the same forests answer them: {leaking}; {_NONE_LEFT_OUT}."
    return (
        f"The forests were fitted on {these}, each of which is answered by forests without its person or file: "
        f"{_format(fitting.left_out_score)} so, and {leaking}. Their size was chosen by the score that leaks."
    )


_NONE_LEFT_OUT = "they are of one person or file, so that none could be left out"


def _format(score: float | None) -> str:
    return "no score" if score is None else f"{score:.4f}"
