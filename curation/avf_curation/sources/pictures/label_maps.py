"""The classes of labelled pictures, and the expression of the ABAW challenges that each stands for."""

from collections.abc import Mapping

from avf_curation.sources.frame_annotations import EXPRESSIONS

#: Number in the owners' lists -> the owners' name, and the expression of ABAW; None: no counterpart, which is not
#: guessed, so that such a picture has no ABAW expression.
AFFECTNET = {
    0: ("Neutral", "Neutral"),
    1: ("Happy", "Happiness"),
    2: ("Sad", "Sadness"),
    3: ("Surprise", "Surprise"),
    4: ("Fear", "Fear"),
    5: ("Disgust", "Disgust"),
    6: ("Anger", "Anger"),
    7: ("Contempt", None),
    8: ("None", None),
    9: ("Uncertain", None),
    10: ("No-Face", None),
}
RAF_DB = {
    1: ("Surprise", "Surprise"),
    2: ("Fear", "Fear"),
    3: ("Disgust", "Disgust"),
    4: ("Happiness", "Happiness"),
    5: ("Sadness", "Sadness"),
    6: ("Anger", "Anger"),
    7: ("Neutral", "Neutral"),
}
assert {abaw for table in (AFFECTNET, RAF_DB) for _, abaw in table.values() if abaw} <= set(EXPRESSIONS)


def name_expression(table: Mapping[int, tuple[str, str | None]], number: int) -> dict[str, str]:
    """Return the labels of a class: the owners' name, and that of ABAW where there is one."""
    owners, abaw = table[number]
    return {"expression": owners} | ({} if abaw is None else {"abaw_expression": abaw})
