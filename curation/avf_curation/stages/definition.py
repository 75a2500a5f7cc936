"""What a stage is: its settings, what it measures, how it decides, and its reasons, as one value.

Ours and those of installed packages are the same type. Ours take part in the cutting of spans, so the pipeline calls
their measurements itself, between its own steps; the measurement of a package's stage is a function of a finished span.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from avf_shards.format.content import Content
from avf_shards.schema.ledger import Check

from avf_curation.media.types import Bytes, Samples
from avf_curation.stages.reasons import Reason
from avf_curation.stages.tracking import Floats

GateMode = Literal["decide", "measure", "skip"]


class PackageFaultError(Exception):
    """What an installed package adds raised an error, or its answer is no measurement."""


class StageScores(Protocol):
    """What a stage measured on a span."""

    def record(self) -> dict[str, Any]:
        """Return the measurements as the ledger stores them: name -> number, text, True, False, None or list of them.

        None: it could not be measured.
        """


@dataclass(frozen=True, kw_only=True)
class FaceSpan:
    """The face of a span, as a package's stage sees it. The arrays cannot be written to. T: frames at 25 fps."""

    face_THWC: Bytes  # the clip as it would be stored, BGR
    boxes_T4: Floats  # the face in each frame: left, top, right, bottom, in pixels of the clip
    samples: Samples  # the sound of the same time, 16 kHz, as it came
    seconds: float  # length of the span
    scale: float  # pixels of the clip over pixels of the source: above 1 the face was enlarged


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of curation."""

    name: str  # of its table in recipes, and in the ledger
    about: str  # what it measures, how, and how far that can be trusted, in sentences
    config: type[Any]  # a frozen dataclass of its settings
    decide: Callable[..., tuple[Check, ...]]  # (scores, settings) -> the checks; a score of None is undecided
    reasons: Mapping[str, Reason]  # of its rejections, by their names
    thresholds: tuple[str, ...]  # the settings that its checks compare scores with; all others need a new run
    gates: tuple[GateMode, ...] = ("decide", "measure", "skip")  # modes that a recipe may give it
    content: tuple[Content, ...] = ("clips",)  # of the runs that have it
    #: Measures a finished span with the settings; None: the pipeline itself measures this stage, one of ours.
    measure: Callable[[FaceSpan, Any], StageScores] | None = None
