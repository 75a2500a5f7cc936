"""The names of the stages in the order in which they run, and which settings are thresholds of their checks."""

from collections.abc import Iterable, Mapping

from avf_shards.format.content import Content
from avf_shards.schema.ledger import TAKEDOWN

from avf_curation.stages.own_stages import OWN_STAGES

STAGES_OF: Mapping[Content, tuple[str, ...]] = {
    "clips": tuple(stage.name for stage in OWN_STAGES if "clips" in stage.content),
    "pictures": tuple(stage.name for stage in OWN_STAGES if "pictures" in stage.content),
}
STAGES, PICTURE_STAGES = STAGES_OF["clips"], STAGES_OF["pictures"]
ALL_STAGES = tuple(stage.name for stage in OWN_STAGES)
"""The stages of videos and of pictures in an order that is that of either."""
_ADDED_BEFORE = "quality"  # whose watermark is searched for once more over the spans of a group, after all stages

_SPAN_STAGES = ("scenes", "silence")

#: Settings that checks of the other stages have as their threshold. A ledger that has no such check reached none.
THRESHOLD_SETTINGS = frozenset(f"{stage.name}.{name}" for stage in OWN_STAGES for name in stage.thresholds)


def order_stages(names: Iterable[str], own: tuple[str, ...] = ALL_STAGES) -> tuple[str, ...]:
    """Return our own stages in their order, with those among `names` that installed packages add, sorted by name."""
    added = sorted(set(names) - {*ALL_STAGES, TAKEDOWN})
    position = own.index(_ADDED_BEFORE)
    return own[:position] + tuple(added) + own[position:]


def decides_spans(setting: str) -> bool:
    """Return whether a setting decides where spans begin and end.

    A ledger knows only its own spans, so it cannot tell what another value of such a setting would have decided.
    """
    return setting.partition(".")[0] in _SPAN_STAGES and setting not in THRESHOLD_SETTINGS
