"""LR-ASD in the state-dict format of its authors (Junhua-Liao/LR-ASD): does the visible face speak, frame by frame.

One network reads the pictures of a face and one its sound; their embeddings of each frame are weighed together, read
forwards and backwards in time, and become a score, which is above zero while the face speaks.

Each of the authors' 3-D convolutions spans either space or time alone, so here it is a 2-D one, with its batch norm
folded in: over the pixels of each frame, or over a picture whose rows are frames and whose columns are pixels, which
channels-last memory is already. The pictures come in blocks of frames, so that memory does not grow with the span; a
convolution over time remembers the frames that the next block needs, and so the result is that of the whole span.

Shapes: T frames, C channels, D = 128, P pixels of a frame; F = 13 coefficients, S = 4 T steps of sound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.timeline import SAMPLES_PER_FRAME
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, max_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_weights

from avf_curation.detectors.mfcc import COEFFICIENTS, HOP, WINDOW, compute_mfcc
from avf_curation.detectors.weight_files import load_weights
from avf_curation.media.types import Bytes, Samples

STEPS_PER_FRAME = 4  # MFCC steps of 10 ms
_GREY_MEAN, _GREY_DEVIATION = 0.4161, 0.1688  # of levels from 0 to 1, in the authors' training
_WIDTHS = ((1, 32), (32, 64), (64, 128))  # channels in and out of the three blocks of either network
_EMBEDDING, _UNITS = 128, 64  # size of an embedding; units of each GRU
_EPSILON = 1e-3  # of the batch norms
_REACH = 9  # frames before and after its own that an embedding depends on
_BLOCK_FRAMES = 16  # at a time, which is fastest; at least twice as many as all convolutions over time reach

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LrAsdScores:
    """What the network says of one face."""

    scores_T: Floats  # above zero while the face speaks
    embeddings_TD: Floats  # of the face, from its pictures alone


class LrAsd:
    """The network with its weights, on a device of torch."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        device: str = "cpu",
        name: str = "lr_asd",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Prepare the authors' state dict for inference.

        Raises UserError, which begins with `name`, for the weights of another model.
        """
        _check_weights(weights, name)
        self.device, self.dtype = torch.device(device), dtype
        tensors = {key: value.to(self.device, dtype) for key, value in weights.items()}
        self._faces = [_Block(_subset(tensors, f"model.visualEncoder.block{n}."), "s") for n in (1, 2, 3)]
        self._sounds = [_Block(_subset(tensors, f"model.audioEncoder.block{n}."), "m") for n in (1, 2, 3)]
        self._fusion = _GatedFusion(_subset(tensors, "model.fusion."))
        self._detector_fusion = _GatedFusion(_subset(tensors, "model.detector.attention."))
        self._forward, self._backward = (
            _load_gru(_subset(tensors, f"model.detector.gru_{direction}.")) for direction in ("forward", "backward")
        )
        self._head = tensors["lossAV.FC.weight"], tensors["lossAV.FC.bias"]

    @classmethod
    def from_file(cls, path: Path, device: str = "cpu", digest: str | None = None) -> "LrAsd":
        """Load the weights of a file. Raises UserError for a file that does not hold them, or has another digest."""
        return cls(load_weights(path, digest=digest), device, str(path))

    def score(self, grey_THW: Bytes, samples: Samples) -> LrAsdScores:
        """Return whether a face speaks in each frame.

        Args:
            grey_THW: The face in each frame, (T, 112, 112), as crop.crop_for_lr_asd cuts it; at least one frame.
            samples: The sound of the same frames.

        Raises:
            ValueError: the sound is not as long as the pictures.
        """
        if len(samples) != len(grey_THW) * SAMPLES_PER_FRAME:
            raise ValueError(f"{len(samples)} samples do not belong to {len(grey_THW)} frames")
        embeddings_TD = self.embed_span(grey_THW)
        return LrAsdScores(scores_T=self.score_embeddings(embeddings_TD, samples), embeddings_TD=embeddings_TD)

    def embed_span(self, grey_THW: Bytes) -> Floats:
        """Return the embedding of the face in each frame, (T, 128), of a span that the video does not end with.

        The frames at either end are mirrored. The zeros that the network was trained with say that there is no picture,
        and a span of 2 s has them near more than a third of its frames. With mirrors 98.8 % of talking
        windows of 2 s pass in place of 97.5 %, and 6.0 % of the others in place of 6.5 % (docs/benchmarks.md).
        """
        mirrored_THW = np.pad(grey_THW, ((_REACH, _REACH), (0, 0), (0, 0)), mode="reflect")
        return self.embed_faces(mirrored_THW)[_REACH:-_REACH]

    @torch.inference_mode()
    def embed_faces(self, grey_THW: Sequence[Bytes] | Bytes) -> Floats:
        """Return the embedding of the face in each frame, (T, 128), from pictures as `score` takes them.

        An embedding depends on the nine frames before and after its own too.
        """
        passage = [(block, _TimePassage(), _TimePassage()) for block in self._faces]
        embeddings = []
        for first in range(0, len(grey_THW), _BLOCK_FRAMES):
            grey = torch.from_numpy(np.stack(list(grey_THW[first : first + _BLOCK_FRAMES]))).to(self.device)
            x_TCHW = ((grey.to(self.dtype) / 255 - _GREY_MEAN) / _GREY_DEVIATION)[:, None]
            is_last = first + _BLOCK_FRAMES >= len(grey_THW)
            for number, (block, early, late) in enumerate(passage):
                x_TCHW = block.space_2(block.space_1(x_TCHW, stride=2 if number == 0 else 1))
                x_TCHW = early.convolve(block.time_1, x_TCHW, is_last=is_last)
                x_TCHW = late.convolve(block.time_2, x_TCHW, is_last=is_last)
                if number < 2:
                    x_TCHW = max_pool2d(x_TCHW, 3, stride=2, padding=1)
            embeddings.append(x_TCHW.amax(dim=(2, 3)))
        return _to_numpy(torch.cat(embeddings))

    @torch.inference_mode()
    def embed_sound(self, mfcc_SF: npt.NDArray[np.floating]) -> Floats:
        """Return the embedding of the sound of each frame, (T, 128), from MFCCs (4 T, 13)."""
        steps = torch.from_numpy(np.ascontiguousarray(mfcc_SF.T)).to(self.device, self.dtype)
        x_1CFS = steps[None, None]
        for number, block in enumerate(self._sounds):
            x_1CFS = block.time_2(block.time_1(block.space_2(block.space_1(x_1CFS))))
            if number < 2:
                x_1CFS = max_pool2d(x_1CFS, (1, 3), stride=(1, 2), padding=(0, 1))
        return _to_numpy(x_1CFS.mean(dim=2)[0].T)

    @torch.inference_mode()
    def score_embeddings(self, faces_TD: Floats, samples: Samples) -> Floats:
        """Return the score of each frame, (T,), from what `embed_faces` returned and the sound of the same frames."""
        sound_TD = self.embed_sound(frame_mfcc(samples))
        return _to_numpy(self.join_embeddings(faces_TD, sound_TD)[:, 1])

    @torch.inference_mode()
    def join_embeddings(self, faces_TD: Floats, sound_TD: Floats) -> Tensor:
        """Return the authors' two logits of each frame, (T, 2): silent and speaking."""
        faces, sound = (torch.from_numpy(part).to(self.device, self.dtype) for part in (faces_TD, sound_TD))
        fused_TC = self._fusion(sound, faces)
        forward_TC, _ = self._forward(fused_TC)
        backward_TC, _ = self._backward(fused_TC.flip(0))
        return linear(self._detector_fusion(forward_TC, backward_TC.flip(0)), *self._head)


class _Convolution:
    """A convolution over space or time, or pitch or time, with its batch norm folded in, and ReLU."""

    def __init__(self, weights: Mapping[str, Tensor], kind: str, step: int) -> None:
        norm = _subset(weights, f"{kind}_norm_{step}.")
        folded, bias = fuse_conv_bn_weights(
            nn.Parameter(weights[f"{kind}_{step}.weight"]),
            None,
            *(norm["running_mean"], norm["running_var"], _EPSILON, norm["weight"], norm["bias"]),
        )
        # (C, C, 1, k, k) over pixels, (C, C, k, 1, 1) over frames; of sound (C, C, k, 1) and (C, C, 1, k).
        weight: Tensor = folded.detach()
        if weight.ndim == 5:
            weight = weight[:, :, 0] if kind == "s" else weight[..., 0]
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._bias = bias.detach()
        self.reach = self._weight.shape[2] // 2  # rows, which may be frames, to either side of the one that is computed

    def __call__(self, x_NCHW: Tensor, *, stride: int = 1, pad_rows: bool = True) -> Tensor:
        padding = (self.reach if pad_rows else 0, self._weight.shape[3] // 2)
        return conv2d(x_NCHW, self._weight, self._bias, stride, padding).relu_()


class _Block:
    """Two convolutions over space (of pictures) or pitch (of sound), then two over time."""

    def __init__(self, weights: Mapping[str, Tensor], space: str) -> None:
        self.space_1, self.space_2 = _Convolution(weights, space, 1), _Convolution(weights, space, 2)
        self.time_1, self.time_2 = _Convolution(weights, "t", 1), _Convolution(weights, "t", 2)


class _TimePassage:
    """Takes the frames of a span through one convolution over time, block by block."""

    def __init__(self) -> None:
        self._before_TCHW: Tensor | None = None  # frames of earlier blocks that the next one needs

    def convolve(self, convolution: _Convolution, x_TCHW: Tensor, *, is_last: bool) -> Tensor:
        """Return the frames whose neighbours are known by now; with the last block, all that are left."""
        outside_TCHW = x_TCHW.new_zeros(convolution.reach, *x_TCHW.shape[1:])
        before_TCHW = outside_TCHW if self._before_TCHW is None else self._before_TCHW
        frames_TCHW = torch.cat([before_TCHW, x_TCHW, *([outside_TCHW] if is_last else [])])
        self._before_TCHW = frames_TCHW[-2 * convolution.reach :]
        frames, channels, height, width = frames_TCHW.shape
        rows_1CTP = frames_TCHW.permute(0, 2, 3, 1).reshape(1, frames, height * width, channels).permute(0, 3, 1, 2)
        out_1CTP = convolution(rows_1CTP, pad_rows=False)
        return out_1CTP.permute(0, 2, 3, 1).reshape(-1, height, width, channels).permute(0, 3, 1, 2)


class _GatedFusion:
    """Weighs each channel of two embeddings by a gate that sees both."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        norm = _subset(weights, "bn.")
        scale_C = norm["weight"] / torch.sqrt(norm["running_var"] + _EPSILON)
        self._weight = weights["attention.weight"][..., 0] * scale_C[:, None]
        self._bias = norm["bias"] - norm["running_mean"] * scale_C

    def __call__(self, first_TC: Tensor, second_TC: Tensor) -> Tensor:
        joined_TC = torch.cat([first_TC, second_TC], dim=1)
        return joined_TC * torch.sigmoid(linear(joined_TC, self._weight, self._bias))


def _load_gru(weights: Mapping[str, Tensor]) -> nn.GRU:
    like = weights["weight_hh_l0"]
    gru = nn.GRU(2 * _EMBEDDING, _UNITS, device=like.device, dtype=like.dtype)
    gru.load_state_dict(dict(weights))
    return gru.eval()


def _subset(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _to_numpy(values: Tensor) -> Floats:
    return np.asarray(values.cpu().numpy())


def frame_mfcc(samples: Samples) -> npt.NDArray[np.float64]:
    """Return four steps of MFCCs for each frame, (4 T, 13); zeros after the sound fill the last window."""
    frames = len(samples) // SAMPLES_PER_FRAME
    padded = np.zeros((STEPS_PER_FRAME * frames - 1) * HOP + WINDOW, np.int16)
    padded[: frames * SAMPLES_PER_FRAME] = samples[: frames * SAMPLES_PER_FRAME]
    return compute_mfcc(padded)[:, :COEFFICIENTS]


def state_shapes() -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each tensor in the authors' state dict."""
    shapes: dict[str, tuple[int, ...]] = {}
    for encoder, kind in (("visualEncoder", "s"), ("audioEncoder", "m")):
        for number, (inputs, outputs) in enumerate(_WIDTHS, 1):
            prefix = f"model.{encoder}.block{number}."
            for step, channels_in, channels_out, side in ((1, inputs, outputs // 2, 5), (2, outputs // 2, outputs, 3)):
                over_space, over_time = ((1, side, side), (side, 1, 1)) if kind == "s" else ((side, 1), (1, side))
                shapes[f"{prefix}{kind}_{step}.weight"] = (channels_out, channels_in, *over_space)
                shapes[f"{prefix}t_{step}.weight"] = (outputs, outputs, *over_time)
                shapes |= _norm_shapes(f"{prefix}{kind}_norm_{step}.", channels_out)
                shapes |= _norm_shapes(f"{prefix}t_norm_{step}.", outputs)
    for fusion, channels in (("model.fusion.", 2 * _EMBEDDING), ("model.detector.attention.", 2 * _UNITS)):
        shapes |= {f"{fusion}attention.weight": (channels, channels, 1)} | _norm_shapes(f"{fusion}bn.", channels)
    for direction in ("forward", "backward"):
        gru = f"model.detector.gru_{direction}."
        shapes |= {f"{gru}weight_ih_l0": (3 * _UNITS, 2 * _EMBEDDING), f"{gru}weight_hh_l0": (3 * _UNITS, _UNITS)}
        shapes |= {f"{gru}bias_ih_l0": (3 * _UNITS,), f"{gru}bias_hh_l0": (3 * _UNITS,)}
    for head in ("lossAV.FC.", "lossV.FC."):
        shapes |= {f"{head}weight": (2, _EMBEDDING), f"{head}bias": (2,)}
    return shapes


def _norm_shapes(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{prefix}{name}": (channels,) for name in names} | {f"{prefix}num_batches_tracked": ()}


def _check_weights(weights: Mapping[str, Tensor], name: str) -> None:
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = [key for key, shape in state_shapes().items() if shapes.get(key) != shape] or sorted(
        shapes.keys() - state_shapes().keys()
    )
    if wrong:
        raise UserError(f"{name}: holds the weights of another model (the first tensor that differs is {wrong[0]})")
