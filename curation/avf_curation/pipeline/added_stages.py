"""Run a stage of an installed package on one span: what it is given, and what is believed of its answer."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from avf_shards.format.run_identity import RunIdentity
from avf_shards.schema.ledger import Check
from avf_shards.system.installed_packages import error_text
from avf_shards.system.storage_faults import is_machine_fault
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.types import Samples
from avf_curation.pipeline.failures import BrokenToolError, InfrastructureError, OtherCodeError
from avf_curation.pipeline.refining import FaceCrops
from avf_curation.recipe import Recipe
from avf_curation.stages.added_stages import AddedStage
from avf_curation.stages.definition import FaceSpan, PackageFaultError
from avf_curation.stages.tracking import Track

_MEASUREMENT = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MAX_CHARACTERS = 10_000  # of a text in the ledger, such as a curve over a long span
_MAX_ITEMS = 10_000  # of a list
_MAX_INTEGER = 2**63 - 1  # readers of JSON and Parquet hold no larger one


def view_face(crops: FaceCrops, track: Track, samples: Samples) -> FaceSpan:
    """Return what a package's stage sees of a span: views that it cannot write to, as the clip is made of the same."""
    size_px = crops.face_THWC.shape[1]
    scale = size_px / track.window.side_px
    corners = np.concatenate([track.window.centres_T2, track.window.centres_T2], axis=1)
    boxes_T4 = (track.boxes_T4 - corners) * scale + size_px / 2
    face_THWC, sound = crops.face_THWC.view(), samples.view()
    for array in (face_THWC, boxes_T4, sound):
        array.setflags(write=False)
    seconds = len(face_THWC) / FRAMES_PER_SECOND
    return FaceSpan(face_THWC=face_THWC, boxes_T4=boxes_T4, samples=sound, seconds=seconds, scale=scale)


def measure_added(added: AddedStage, face: FaceSpan, config: Any) -> tuple[dict[str, Any], tuple[Check, ...]]:
    """Return the measurements of a stage of a package on a span, and its checks.

    Raises PackageFaultError for an error of the stage and for an answer that is none, and InfrastructureError where the
    machine, or a package that is not installed, is to blame.
    """
    stage = added.stage
    assert stage.measure is not None, "it was looked at as it was loaded"
    try:
        scores = stage.measure(face, config)
        record, checks = scores.record(), stage.decide(scores, config)
    except (InfrastructureError, MemoryError, KeyboardInterrupt):
        raise
    except ImportError as error:
        cause = f"{type(error).__name__}: {error_text(error)}"
        raise BrokenToolError(f"stage {stage.name} of {added.package}: {cause}") from error
    except BaseException as error:  # exit() and a panic of Rust are no Exception
        if isinstance(error, OSError) and is_machine_fault(error):
            raise
        raise PackageFaultError(f"{added.package}: {type(error).__name__}: {error_text(error)}") from error
    _check_record(record, added)
    _check_checks(checks, added, config)
    return dict(record), tuple(checks)


def _check_record(record: object, added: AddedStage) -> None:
    if not isinstance(record, Mapping):
        raise PackageFaultError(f"{added.package}: its measurements are {type(record).__name__}, not a table")
    for name, value in record.items():
        if not isinstance(name, str) or not _MEASUREMENT.fullmatch(name) or name == "would_reject":
            raise PackageFaultError(f"{added.package}: {name!r:.60} is no name of a measurement")
        items = value if isinstance(value, list | tuple) else (value,)
        if len(items) > _MAX_ITEMS:
            raise PackageFaultError(f"{added.package}: {name} has more than {_MAX_ITEMS:,} values")
        for item in items:
            _check_value(name, item, added)


def _check_value(name: str, value: object, added: AddedStage) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise PackageFaultError(f"{added.package}: {name} is {value}; what cannot be measured is None")
    # Types of numpy cannot be written: type() and not isinstance(), as numpy's float64 is a float.
    if value is not None and type(value) not in (bool, int, float, str):
        raise PackageFaultError(f"{added.package}: {name} is {type(value).__name__}, not a number, a text or None")
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise PackageFaultError(f"{added.package}: {name} is a whole number of more than 64 bits")
    if isinstance(value, str) and len(value) > _MAX_CHARACTERS:
        raise PackageFaultError(f"{added.package}: {name} has more than {_MAX_CHARACTERS:,} characters")
    if isinstance(value, str) and not _is_text(value):
        raise PackageFaultError(f"{added.package}: {name} is no text of Unicode: {value!r:.60}")


def _is_text(value: str) -> bool:
    """Return whether a text can be written as UTF-8: a file name that is none comes with lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_checks(checks: object, added: AddedStage, config: Any) -> None:
    """Raise PackageFaultError unless the ledger can hold the checks, and what-if can decide them again."""
    stage = added.stage
    if not isinstance(checks, tuple) or not all(isinstance(check, Check) for check in checks):
        raise PackageFaultError(f"{added.package}: its checks are no tuple of Check")
    for check in checks:
        if check.stage != stage.name or check.reason not in tuple(stage.reasons):
            raise PackageFaultError(f"{added.package}: {check.stage}/{check.reason} is none of its reasons")
        if check.score is not None and not math.isfinite(check.score):
            raise PackageFaultError(
                f"{added.package}: the score of {check.reason} is {check.score}; what cannot be measured is None"
            )
        prefix, _, setting = str(check.setting).partition(".")
        if not isinstance(check.setting, str) or prefix != stage.name or setting not in stage.thresholds:
            raise PackageFaultError(f"{added.package}: {check.reason} has the setting {check.setting!r}, no threshold")
        if (
            type(check.threshold) not in (int, float)
            or check.threshold != getattr(config, setting)
            or check.operator not in ("<=", ">=")
        ):
            raise PackageFaultError(f"{added.package}: {check.reason} compares with other than {check.setting}")


def check_same_code(recipe: Recipe, identity: RunIdentity) -> None:
    """Raise OtherCodeError where this process has other code of a package's stage than the run began with."""
    for added in recipe.defaults.added_stages:
        for name, here in added.versions.items():
            if identity.versions.get(name) != here:
                raise OtherCodeError(
                    f"stage {added.stage.name}: this worker has {added.package} ({name}: {here}), and the run began "
                    f"with {name}: {identity.versions.get(name)}; install the same package on every machine"
                )
