"""The labelled data sets, a row each, two for AVCAffe: what is asked of which clips, in which folds, by which metric.

Counts are those the papers and owners publish; what a corpus really holds is compared with them and told, not hidden.
Reading the owners' layout is curation's work; `source` is the name it uses there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from avf_shards.config import bind, read_table, unknown_key
from avf_shards.errors import UserError

Task = Literal["emotion", "dimensions", "micro_expression"]
Split = Literal["official", "session", "subject_blocks", "random", "leave_one_subject_out", "held_out_subjects"]
Metric = Literal["UAR", "WAR", "weighted_F1", "macro_F1", "UF1", "PCC", "CCC", "AUC"]


@dataclass(frozen=True)
class Dataset:
    """labels: in index order; dimensions: of a regression, in order. folds: how many; split: how they are made.

    clips: as published, 0 where nothing is. per_label: clips of each, where published. scheme: the name of the official
    folds in a record. value: the name that the label has in a record. merged: native label -> the label it counts as.
    left_out: native labels that the task does not ask for. aligned: label -> the hybrid's, of a row of yours; ours are
    in alignment.py. range: of a regression's targets. averaged_over: clip, or session where the answers to all clips of
    one are averaged before they are scored.
    """

    name: str
    title: str
    source: str
    task: Task
    labels: tuple[str, ...]
    folds: int
    split: Split
    metrics: tuple[Metric, ...]
    clips: int
    modalities: tuple[Literal["audio", "video"], ...] = ("audio", "video")
    dimensions: tuple[str, ...] = ()
    per_label: Mapping[str, int] = field(default_factory=dict)
    scheme: str = ""
    value: str = "emotion"
    merged: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    aligned: Mapping[str, str] = field(default_factory=dict)
    range: tuple[float, float] | None = None
    averaged_over: Literal["clip", "session"] = "clip"
    note: str = ""

    def __post_init__(self) -> None:
        if bool(self.labels) == bool(self.dimensions):
            raise ValueError(f"{self.name}: has labels or dimensions, one of them")
        if (self.task == "dimensions") != bool(self.dimensions):
            raise ValueError(f"{self.name}: task {self.task!r} and dimensions {list(self.dimensions)} do not fit")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"{self.name}: a label is there twice")
        if self.folds < 1 and self.split != "leave_one_subject_out":
            raise ValueError(f"{self.name}: folds {self.folds} must be at least 1")
        if self.split == "official" and not self.scheme:
            raise ValueError(f"{self.name}: official folds need the name of their scheme")


MAFW_SINGLE = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness"),
    *("surprise", "contempt", "anxiety", "helplessness", "disappointment"),
)
MAFW_COMPOUND = (
    *(f"anger_{rest}" for rest in ("anxiety", "disgust", "disgust_anxiety", "disgust_contempt", "helplessness")),
    *("anger_sadness", "anger_surprise", "anxiety_helplessness", "anxiety_helplessness_disappointment"),
    *(f"disgust_{rest}" for rest in ("anxiety", "anxiety_helplessness", "contempt", "disappointment", "helplessness")),
    *("disgust_helplessness_disappointment", "disgust_sadness", "disgust_surprise"),
    *(f"fear_{rest}" for rest in ("anxiety", "sadness", "sadness_anxiety", "surprise", "surprise_anxiety")),
    *("happiness_contempt", "happiness_surprise", "helplessness_disappointment"),
    *("sadness_anxiety", "sadness_anxiety_helplessness", "sadness_disappointment", "sadness_helplessness"),
    *("sadness_helplessness_disappointment", "sadness_surprise", "surprise_anxiety"),
)
_MER = ("neutral", "angry", "happy", "sad", "worried", "surprise")
_CREMA = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
_THREE = ("negative", "positive", "surprise")
_RECALLS: tuple[Metric, ...] = ("UAR", "WAR")
_MICRO: tuple[Metric, ...] = ("UF1", "UAR")

DATASETS = (
    Dataset(
        "mafw_11",
        "MAFW (11 classes)",
        "mafw",
        "emotion",
        MAFW_SINGLE,
        5,
        "official",
        _RECALLS,
        9_172,
        per_label=dict(zip(MAFW_SINGLE, (1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182), strict=True)),
        scheme="single",
        value="single",
        note="16 clips have no sound; the authors' folds leave them out (9,156)",
    ),
    Dataset(
        "mafw_43",
        "MAFW (43 classes)",
        "mafw",
        "emotion",
        tuple(sorted((*MAFW_SINGLE, *MAFW_COMPOUND))),
        5,
        "official",
        _RECALLS,
        8_996,
        scheme="compound",
        value="compound",
        note="no official order of the 43 labels: sorted",
    ),
    Dataset(
        "dfew",
        "DFEW",
        "dfew",
        "emotion",
        ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"),
        5,
        "official",
        _RECALLS,
        11_697,
        per_label={
            "happy": 2445,
            "sad": 1894,
            "neutral": 2669,
            "angry": 2173,
            "surprise": 1469,
            "disgust": 145,
            "fear": 902,
        },
        scheme="single",
        value="single",
    ),
    Dataset(
        "mer_multi",
        "MER-MULTI",
        "mer_multi",
        "emotion",
        _MER,
        1,
        "official",
        ("weighted_F1", "WAR"),
        3_784,
        scheme="multi",
        note="3,373 to train, 411 to test (MER2023 test1)",
    ),
    Dataset(
        "mer24",
        "MER24-T&V",
        "mer24",
        "emotion",
        _MER,
        5,
        "random",
        ("weighted_F1", "WAR"),
        5_030,
        note="no official folds: seeded. It holds the 411 test clips of MER-MULTI",
    ),
    Dataset(
        "iemocap",
        "IEMOCAP",
        "iemocap",
        "emotion",
        ("ang", "hap", "neu", "sad"),
        5,
        "session",
        _RECALLS,
        5_531,
        per_label={"ang": 1103, "hap": 1636, "neu": 1708, "sad": 1084},
        merged={"exc": "hap"},
        left_out=("dis", "fea", "fru", "oth", "sur", "xxx"),
        note="exc counts as hap; other codes are left out",
    ),
    Dataset(
        "crema_d_6",
        "CREMA-D (6 classes)",
        "crema_d",
        "emotion",
        _CREMA,
        5,
        "subject_blocks",
        _RECALLS,
        7_442,
        per_label={label: 1087 if label == "NEU" else 1271 for label in _CREMA},
    ),
    Dataset(
        "crema_d_4",
        "CREMA-D (4 classes)",
        "crema_d",
        "emotion",
        ("ANG", "HAP", "NEU", "SAD"),
        1,
        "subject_blocks",
        _RECALLS,
        4_896,
        left_out=("DIS", "FEA"),
        note="the last of the five blocks of actors is the test set",
    ),
    Dataset(
        "ravdess",
        "RAVDESS",
        "ravdess",
        "emotion",
        ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
        6,
        "subject_blocks",
        _RECALLS,
        1_440,
        per_label={"neutral": 96}
        | dict.fromkeys(("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192),
    ),
    Dataset(
        "msp_improv",
        "MSP-IMPROV",
        "msp_improv",
        "emotion",
        ("ang", "hap", "neu", "sad"),
        6,
        "session",
        _RECALLS,
        7_798,
        per_label={"ang": 792, "hap": 2644, "neu": 3477, "sad": 885},
    ),
    Dataset(
        "werewolf_xl",
        "Werewolf-XL",
        "werewolf_xl",
        "dimensions",
        (),
        5,
        "session",
        ("PCC", "CCC"),
        14_632,
        dimensions=("arousal", "valence", "dominance"),
        range=(-2.0, 2.0),
        note="the authors' folds are blocks of six sessions, in which players come again; a row of yours with split: "
        "subject_blocks keeps players apart",
    ),
    *(
        Dataset(
            f"avcaffe_{axis}",
            f"AVCAffe ({axis})",
            "avcaffe",
            "emotion",
            labels,
            1,
            "held_out_subjects",
            ("weighted_F1",),
            58_112,
            value=axis,
            averaged_over="session",
            note="answers are averaged over the segments of a participant and task",
        )
        for axis, labels in (
            ("arousal", ("Excited", "Wide-awake", "Neutral", "Dull", "Calm")),
            ("valence", ("Pleasant", "Pleased", "Neutral", "Unsatisfied", "Unpleasant")),
        )
    ),
    Dataset(
        "samm",
        "SAMM",
        "samm",
        "micro_expression",
        _THREE,
        0,
        "leave_one_subject_out",
        _MICRO,
        133,
        ("video",),
        per_label={"negative": 92, "positive": 26, "surprise": 15},
    ),
    Dataset(
        "casme2",
        "CASME II",
        "casme2",
        "micro_expression",
        _THREE,
        0,
        "leave_one_subject_out",
        _MICRO,
        145,
        ("video",),
        per_label={"negative": 88, "positive": 32, "surprise": 25},
    ),
    Dataset(
        "smic",
        "SMIC",
        "smic",
        "micro_expression",
        _THREE,
        0,
        "leave_one_subject_out",
        _MICRO,
        164,
        ("video",),
        per_label={"negative": 70, "positive": 51, "surprise": 43},
    ),
    Dataset(
        "casme3",
        "CAS(ME)^3",
        "casme3",
        "micro_expression",
        _THREE,
        0,
        "leave_one_subject_out",
        _MICRO,
        943,
        ("video",),
        per_label={"negative": 508, "positive": 64, "surprise": 201},
        note="773 have one of the three labels; the owners' second label file has 860 rows",
    ),
    Dataset(
        "mmew",
        "MMEW",
        "mmew",
        "micro_expression",
        _THREE,
        0,
        "leave_one_subject_out",
        _MICRO,
        300,
        ("video",),
    ),
)


def find_dataset(name: str) -> Dataset:
    """One row, or the row in a YAML file of yours. Raises UserError naming the nearest known name."""
    if name.endswith((".yaml", ".yml")):
        return bind(Dataset, read_table(Path(name), yaml.safe_load, yaml.YAMLError), name)
    for one in DATASETS:
        if one.name == name:
            return one
    known = [one.name for one in DATASETS]
    raise UserError(unknown_key(f"data set {name!r}", name, known).replace("unknown setting", "no such data set"))
