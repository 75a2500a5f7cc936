"""Sentences under a table, about those of its column heads that do not explain themselves."""

from collections.abc import Iterable

_METRICS = {
    "UAR": "mean recall of the classes (unweighted)",
    "WAR": "share of the clips that are right (accuracy)",
    "weighted F1": "F1 of each class, weighted by its clips",
    "macro F1": "F1 of each class, averaged (unweighted)",
    "UF1": "F1 of each class, averaged (unweighted)",
    "AUC": "area under the ROC curve, each class against the others",
    "AP": "area under precision over recall of the fakes",
    "EER": "errors where as many reals are called fake as fakes real",
    "TPR at 1": "share of fakes detected where 1 % of the reals are called fake",
    "TPR at 5": "the same at 5 %",
    "ECE": "how far probabilities are from the share of fakes",
    "Brier": "mean squared error of the probabilities",
    "PCC": "Pearson's correlation with the labels",
    "CCC": "Lin's concordance with the labels",
}
INTERVAL_NOTE = (
    "95 % interval: over the test people (sessions, where folds are made of them) with all their clips, jackknife; "
    "how precise this test is, not how much trainings differ; none for fewer than 5 people"
)
PROTOCOL_NOTE = (
    "validation: epoch selected on people kept out of training; test best: on the test clips, as published figures "
    "are; last: the model after the last step"
)


def explain_metrics(names: Iterable[str]) -> str:
    """Return a line that says what metrics measure: `UAR: mean recall of the classes (unweighted); WAR: ...`."""
    known = dict.fromkeys(name.replace("_", " ") for name in names)
    return "; ".join(f"{name}: {_METRICS[name]}" for name in known if name in _METRICS)
