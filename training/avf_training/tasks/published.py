"""The papers' results, printed beside those of a study: published.yaml, one line for each result, with its table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from avf_shards.settings.yaml_settings import read_settings

_FILE = Path(__file__).parent / "published.yaml"


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """The scores that a paper prints for a method on a data set."""

    dataset: str  # name of the data set in the catalog
    table: str  # table of AVF-MAE++, unless the text names HiCMAE
    method: str  # name and size of the model as printed
    modality: str  # A+V, A (audio) or V (video)
    scores: Mapping[str, float]  # metric -> percent
    per_label: Mapping[str, float] = field(
        default_factory=dict
    )  # label -> recall in percent; empty where none is printed
    pretraining_hours: float | None = None  # of pre-training, on 8 RTX A6000; the tables print no epochs
    parameters_m: float | None = None  # millions of parameters in pre-training


@dataclass(frozen=True, kw_only=True)
class _Published:
    figures: tuple[PublishedFigure, ...]  # in the order of published.yaml


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """Return every published figure. Raises UserError where the file is damaged."""
    return read_settings(_FILE).bind(_Published).figures
