"""The papers' figures, to set results beside: published.yaml, one line a figure, with its table."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from avf_shards.config import bind, read_table

_FILE = Path(__file__).parent / "published.yaml"


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """What a paper prints for a method on a data set, in percent."""

    dataset: str
    table: str
    method: str
    modality: str
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class _Published:
    figures: tuple[PublishedFigure, ...]


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """Every figure. Raises UserError where the file is damaged."""
    return bind(_Published, read_table(_FILE, yaml.safe_load, yaml.YAMLError)).figures
