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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """labels: in index order; dimensions: of a regression, in order. folds: how many; split: how they are made.

    clips: as published, 0 where nothing is. per_label: clips of each, where published. scheme: the name of the official
    folds in a record. value: the name that the label has in a record. merged: native label -> the label it counts as.
    excluded: native labels that the task does not ask for. aligned: label -> the hybrid's, of a row of yours; ours are
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
    excluded: tuple[str, ...] = ()
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
        name="mafw_11",
        title="MAFW (11 classes)",
        source="mafw",
        task="emotion",
        labels=MAFW_SINGLE,
        folds=5,
        split="official",
        metrics=_RECALLS,
        clips=9_172,
        per_label=dict(zip(MAFW_SINGLE, (1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182), strict=True)),
        scheme="single",
        value="single",
        note="16 clips have no sound; the authors' folds leave them out (9,156)",
    ),
    Dataset(
        name="mafw_43",
        title="MAFW (43 classes)",
        source="mafw",
        task="emotion",
        labels=tuple(sorted((*MAFW_SINGLE, *MAFW_COMPOUND))),
        folds=5,
        split="official",
        metrics=_RECALLS,
        clips=8_996,
        scheme="compound",
        value="compound",
        note="no official order of the 43 labels: sorted",
    ),
    Dataset(
        name="dfew",
        title="DFEW",
        source="dfew",
        task="emotion",
        labels=("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"),
        folds=5,
        split="official",
        metrics=_RECALLS,
        clips=11_697,
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
        name="mer_multi",
        title="MER-MULTI",
        source="mer_multi",
        task="emotion",
        labels=_MER,
        folds=1,
        split="official",
        metrics=("weighted_F1", "WAR"),
        clips=3_784,
        scheme="multi",
        note="3,373 to train, 411 to test (MER2023 test1)",
    ),
    Dataset(
        name="mer24",
        title="MER24-T&V",
        source="mer24",
        task="emotion",
        labels=_MER,
        folds=5,
        split="random",
        metrics=("weighted_F1", "WAR"),
        clips=5_030,
        note="no official folds: seeded. It holds the 411 test clips of MER-MULTI",
    ),
    Dataset(
        name="iemocap",
        title="IEMOCAP",
        source="iemocap",
        task="emotion",
        labels=("ang", "hap", "neu", "sad"),
        folds=5,
        split="session",
        metrics=_RECALLS,
        clips=5_531,
        per_label={"ang": 1103, "hap": 1636, "neu": 1708, "sad": 1084},
        merged={"exc": "hap"},
        excluded=("dis", "fea", "fru", "oth", "sur", "xxx"),
        note="exc counts as hap; other codes are left out",
    ),
    Dataset(
        name="crema_d_6",
        title="CREMA-D (6 classes)",
        source="crema_d",
        task="emotion",
        labels=_CREMA,
        folds=5,
        split="subject_blocks",
        metrics=_RECALLS,
        clips=7_442,
        per_label={label: 1087 if label == "NEU" else 1271 for label in _CREMA},
    ),
    Dataset(
        name="crema_d_4",
        title="CREMA-D (4 classes)",
        source="crema_d",
        task="emotion",
        labels=("ANG", "HAP", "NEU", "SAD"),
        folds=1,
        split="subject_blocks",
        metrics=_RECALLS,
        clips=4_896,
        excluded=("DIS", "FEA"),
        note="the last of the five blocks of actors is the test set",
    ),
    Dataset(
        name="ravdess",
        title="RAVDESS",
        source="ravdess",
        task="emotion",
        labels=("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
        folds=6,
        split="subject_blocks",
        metrics=_RECALLS,
        clips=1_440,
        per_label={"neutral": 96}
        | dict.fromkeys(("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192),
    ),
    Dataset(
        name="msp_improv",
        title="MSP-IMPROV",
        source="msp_improv",
        task="emotion",
        labels=("ang", "hap", "neu", "sad"),
        folds=6,
        split="session",
        metrics=_RECALLS,
        clips=7_798,
        per_label={"ang": 792, "hap": 2644, "neu": 3477, "sad": 885},
    ),
    Dataset(
        name="werewolf_xl",
        title="Werewolf-XL",
        source="werewolf_xl",
        task="dimensions",
        labels=(),
        folds=5,
        split="session",
        metrics=("PCC", "CCC"),
        clips=14_632,
        dimensions=("arousal", "valence", "dominance"),
        range=(-2.0, 2.0),
        note="the authors' folds are blocks of six sessions, in which players come again; a row of yours with split: "
        "subject_blocks keeps players apart",
    ),
    *(
        Dataset(
            name=f"avcaffe_{axis}",
            title=f"AVCAffe ({axis})",
            source="avcaffe",
            task="emotion",
            labels=labels,
            folds=1,
            split="held_out_subjects",
            metrics=("weighted_F1",),
            clips=58_112,
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
        name="samm",
        title="SAMM",
        source="samm",
        task="micro_expression",
        labels=_THREE,
        folds=0,
        split="leave_one_subject_out",
        metrics=_MICRO,
        clips=133,
        modalities=("video",),
        per_label={"negative": 92, "positive": 26, "surprise": 15},
    ),
    Dataset(
        name="casme2",
        title="CASME II",
        source="casme2",
        task="micro_expression",
        labels=_THREE,
        folds=0,
        split="leave_one_subject_out",
        metrics=_MICRO,
        clips=145,
        modalities=("video",),
        per_label={"negative": 88, "positive": 32, "surprise": 25},
    ),
    Dataset(
        name="smic",
        title="SMIC",
        source="smic",
        task="micro_expression",
        labels=_THREE,
        folds=0,
        split="leave_one_subject_out",
        metrics=_MICRO,
        clips=164,
        modalities=("video",),
        per_label={"negative": 70, "positive": 51, "surprise": 43},
    ),
    Dataset(
        name="casme3",
        title="CAS(ME)^3",
        source="casme3",
        task="micro_expression",
        labels=_THREE,
        folds=0,
        split="leave_one_subject_out",
        metrics=_MICRO,
        clips=943,
        modalities=("video",),
        per_label={"negative": 508, "positive": 64, "surprise": 201},
        note="773 have one of the three labels; the owners' second label file has 860 rows",
    ),
    Dataset(
        name="mmew",
        title="MMEW",
        source="mmew",
        task="micro_expression",
        labels=_THREE,
        folds=0,
        split="leave_one_subject_out",
        metrics=_MICRO,
        clips=300,
        modalities=("video",),
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
    raise UserError(unknown_key(name, name, known, "data set"))
