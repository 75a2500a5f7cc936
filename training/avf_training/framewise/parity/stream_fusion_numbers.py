"""SUN's models of several streams beside those of the authors: audio-visual, final and visual fusion."""

from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.models.cross_attention import AudioVisualModel, Joining
from avf_training.framewise.models.final_fusion import AttentionFusion, FinalVersion, final_fusion_model
from avf_training.framewise.models.visual_fusion import VisualFusion
from avf_training.framewise.parity.model_files import (
    DOUBLE,
    compare_both_precisions,
    load_filled,
    load_stored,
    stored_tensor,
)
from avf_training.framewise.parity.rows import OracleNumbers
from avf_training.framewise.parity.sequence_numbers import TABLE

STORED_TABLE = "pe.d256_len30"
"""The authors' table of positions of width 256 in float32, which another file beside this one holds."""
OWN_TABLE = "outputs, with our own table of positions"

_JOININGS: tuple[tuple[str, Joining], ...] = (
    ("TestModelSTP", "mean_std"),
    ("TestModelMean", "mean"),
    ("TestModelConcat", "concat"),
)


def compare_stream_fusion(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return outputs of all models; of the final fusion with the table of positions as it is stored, if it is there.

    The numbers have no outputs of the final fusion's v2, which is not known, and of its v4.
    """
    return compare_both_precisions(
        file,
        oracle,
        partial(_outputs, oracle),
        lambda name: OWN_TABLE if name.startswith("final") and STORED_TABLE not in oracle else "outputs",
        lambda group: TABLE if group == OWN_TABLE else DOUBLE,
    )


def _outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    with torch.no_grad():
        return {
            **_audio_visual_outputs(oracle, dtype),
            **_final_outputs(oracle, dtype),
            **_visual_outputs(oracle, dtype),
        }


def _audio_visual_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    audio_BTA = stored_tensor(oracle, "in.audio", dtype)
    valence_BTC, arousal_BTC = stored_tensor(oracle, "in.video_valence_arousal", dtype).unbind(1)
    numbers = {}
    for prefix, joining in _JOININGS:
        if f"{prefix}.out" not in oracle:
            continue
        model = AudioVisualModel(joining, audio_BTA.shape[2], valence_BTC.shape[2])
        if any(name.startswith(f"{prefix}.w.") for name in oracle):
            load_stored(model, oracle, f"{prefix}.w.", dtype)
        else:
            load_filled(model, f"{prefix}.", dtype)
        numbers[f"{prefix}.out"] = model(audio_BTA, valence_BTC, arousal_BTC)
    return numbers


def _final_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    numbers = {}
    for version in get_args(FinalVersion):
        prefix = f"final_fusion_{version}"
        if f"{prefix}.out" not in oracle:
            continue
        audio_BUA, video_BTC = (stored_tensor(oracle, f"in.{name}", dtype) for name in ("audio4x1024", "video20x256"))
        model = final_fusion_model(version, audio_width=audio_BUA.shape[2], width=video_BTC.shape[2])
        load_filled(model, f"{prefix}.", dtype)
        if isinstance(model, AttentionFusion) and STORED_TABLE in oracle:
            for positions in (model.audio_positions, model.video_positions):
                positions.table_TC = stored_tensor(oracle, STORED_TABLE)[0, : len(positions.table_TC)]
        numbers[f"{prefix}.out"] = model(audio_BUA, video_BTC)
    return numbers


def _visual_outputs(oracle: OracleNumbers, dtype: torch.dtype) -> dict[str, Tensor]:
    numbers: dict[str, Tensor] = {}
    versions: tuple[Literal["v1", "v2"], ...] = ("v1", "v2")
    for version in versions:
        prefix = f"visual_fusion_{version}"
        if f"{prefix}.out_cls" not in oracle:
            continue
        face_BTC, pose_BTC = (stored_tensor(oracle, f"in.{name}", dtype) for name in ("face", "pose"))
        model = VisualFusion(version, face_BTC.shape[2])
        load_filled(model, f"{prefix}.", dtype)
        expressions, affect = model(face_BTC, pose_BTC)
        numbers |= {f"{prefix}.out_cls": expressions, f"{prefix}.out_reg": affect}
    return numbers
