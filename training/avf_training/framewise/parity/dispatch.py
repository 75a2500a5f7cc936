"""Which comparison a file of an oracle belongs to; what the file holds decides, not its name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from avf_shards.errors import UserError

from avf_training.conversion.parity import ParityRow, compare_with_oracle
from avf_training.framewise.parity.audio_numbers import compare_audio
from avf_training.framewise.parity.fold_numbers import compare_folds
from avf_training.framewise.parity.fusion_numbers import compare_late_fusion
from avf_training.framewise.parity.image_numbers import compare_image_mae
from avf_training.framewise.parity.losses_numbers import compare_losses
from avf_training.framewise.parity.postprocessing_numbers import compare_postprocessing
from avf_training.framewise.parity.rows import OracleNumbers
from avf_training.framewise.parity.schedule_numbers import compare_layer_rates, compare_schedules
from avf_training.framewise.parity.sequence_numbers import (
    compare_fusion_transformer,
    compare_layers,
    compare_temporal,
)
from avf_training.framewise.parity.speech_numbers import compare_speech_encoders, compare_speech_heads
from avf_training.framewise.parity.static_numbers import compare_static_nets
from avf_training.framewise.parity.stream_fusion_numbers import STORED_TABLE, compare_stream_fusion
from avf_training.framewise.parity.vggish_numbers import compare_vggish

OracleComparison = Callable[[str, OracleNumbers], list[ParityRow]]

KINDS: tuple[tuple[str, OracleComparison], ...] = (
    ("va.VALoss.grad", compare_losses),
    ("code_start_1e-5_loader_40", compare_schedules),
    ("EfficientNet-B1", compare_layer_rates),
    ("eval_windows.v2997.W10.frame_num", compare_postprocessing),
    ("a30.train_va.start_f", compare_audio),
    ("dwf2.best_weights", compare_late_fusion),
    ("ensemble_derived", compare_folds),
    ("layer2.out.masked", compare_layers),
    ("v3.va.train_nodrop.out", compare_temporal),
    ("TestModelConcat.out", compare_stream_fusion),
    ("VA.w.feat_fc.weight", compare_fusion_transformer),
    ("w2v_stable.last_hidden_state", compare_speech_encoders),
    ("frame_states_VA.V1", compare_speech_heads),
    ("hann400.first8", compare_vggish),
    ("efficientnet_b1.embedding256", compare_static_nets),
    ("out.ids_restore", compare_image_mae),
)
"""(a name that only files of this kind hold, the comparison)."""
NUMBERS_BESIDE = {"TestModelConcat.out": ("sun_layers.npz", STORED_TABLE)}
"""Name as above -> (file in the same folder, array of it) that the comparison uses where it is there."""


def compare(path: Path) -> list[ParityRow]:
    """Return every group of numbers of one oracle file, of clips or of frames.

    Raises UserError for a file that is damaged or of an unknown kind.
    """
    numbers = _read_json(path) if path.suffix.lower() == ".json" else _read_arrays(path)
    for marker, comparison in KINDS:
        if marker in numbers:
            try:
                return comparison(path.name, {**numbers, **_read_beside(path, marker)})
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise UserError(f"{path}: holds {marker}, but not all that belongs to it: {error!r}") from None
    if path.suffix.lower() == ".json":
        raise UserError(f"{path}: holds none of the numbers that are known here, such as {KINDS[1][0]}")
    return compare_with_oracle(path)


def _read_json(path: Path) -> OracleNumbers:
    try:
        values: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: damaged, or not a file of JSON") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no object of JSON with named numbers")
    return values


def _read_arrays(path: Path) -> OracleNumbers:
    """Return the arrays of a file, and none where compare_with_oracle has to say what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not any(marker in archive.files for marker, _ in KINDS):
                return {}
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, BadZipFile, EOFError, AttributeError, TypeError):
        return {}


def _read_beside(path: Path, marker: str) -> OracleNumbers:
    """Return the array of another file that a comparison uses, none where the file is not there or damaged."""
    if marker not in NUMBERS_BESIDE:
        return {}
    name, array = NUMBERS_BESIDE[marker]
    numbers = _read_arrays(path.with_name(name))
    return {array: numbers[array]} if array in numbers else {}
