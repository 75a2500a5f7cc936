"""Export of a fine-tuned model as one file for other programs (torch.export or ONNX), compared with the model."""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from avf_shards.errors import UserError
from avf_shards.system import durable_io
from torch import Tensor, nn

from avf_training.inference.export_format import require_new_file
from avf_training.models.classifier import Classifier
from avf_training.trainer.saved_model import start_model

_BATCHES = (2, 3, 5)  # sizes that are compared: the example's and two others
_TOLERANCE = 1e-5  # of probabilities in fp32


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported model and how close it is to the original."""

    path: Path  # of the exported program
    names: tuple[str, ...]  # of the outputs
    inputs: tuple[str, ...]  # names and shapes, with B for the batch
    worst: float  # largest difference of any output, over batches of several sizes


class _ScoresModule(nn.Module):
    """The model from its inputs to probabilities of the classes, or dimensions."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        modalities = self.model.config.modalities
        video = inputs[0] if "v" in modalities else None
        audio = inputs[-1] if "a" in modalities else None
        return self.model.predictions(self.model(video, audio).logits_BJ)


def export_model(saved: Path, out: Path) -> ExportResult:
    """Write OUT.pt2, for `torch.export.load(OUT).module()`, or OUT.onnx; both are called with (video, audio).

    video: (B, 3, 16, 160, 160), ImageNet-normalised; audio: (B, 1, 256, 128), log-mel as in data/transforms. B is at
    least 2. Raises UserError where an output differs by more than 1e-5 from the model's; nothing is written then.
    """
    is_onnx = out.suffix.lower() == ".onnx"
    require_new_file(out)
    model = Classifier.from_pretrained(start_model(saved))
    scores_of = _ScoresModule(model).eval()
    geometry, modalities = model.config.geometry, model.config.modalities
    named_shapes = (("video", geometry.video_shape), ("audio", geometry.audio_shape))
    shapes = {name: shape for name, shape in named_shapes if name[0] in modalities}
    batch = torch.export.Dim("batch", min=2)
    example = tuple(_random(shape, 2) for shape in shapes.values())
    program = torch.export.export(scores_of, example, dynamic_shapes=((*[{0: batch}] * len(shapes),),))
    with tempfile.TemporaryDirectory(prefix="avf-export-") as folder:
        path = Path(folder, f"model{out.suffix.lower()}")
        exported = _save_onnx(program, tuple(shapes), path) if is_onnx else _save_program(program, path)
        worst = 0.0
        with torch.no_grad():
            for size in _BATCHES:
                inputs = tuple(_random(shape, size) for shape in shapes.values())
                worst = max(worst, float((exported(*inputs) - scores_of(*inputs)).abs().max()))
        if not worst <= _TOLERANCE:
            raise UserError(f"{saved}: the exported model differs by {worst:.2g} from it; nothing was written")
        durable_io.replace_file(out, path.read_bytes())
    inputs_text = tuple(f"{name} (B, {', '.join(map(str, shape))})" for name, shape in shapes.items())
    return ExportResult(path=out, names=model.output_spec.names, inputs=inputs_text, worst=worst)


def _save_program(program: torch.export.ExportedProgram, path: Path) -> Callable[..., Tensor]:
    """Write the program and return the function that a reader of the file gets."""
    torch.export.save(program, path)
    with warnings.catch_warnings():
        # torch reads the weights from a buffer that it may not write to, and nobody writes to it here.
        warnings.filterwarnings("ignore", message="The given buffer is not writable", category=UserWarning)
        return _load_program(path)


def _load_program(path: Path) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = torch.export.load(path).module()
    return function


def _save_onnx(program: torch.export.ExportedProgram, inputs: tuple[str, ...], path: Path) -> Callable[..., Tensor]:
    """Write the program as ONNX and return the function that onnxruntime makes of the file."""
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own calls
        onnx = torch.onnx.export(
            program, input_names=inputs, output_names=["scores"], external_data=False, verbose=False
        )
    assert onnx is not None
    onnx.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*tensors: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(inputs, tensors, strict=True)}
        return torch.from_numpy(session.run(["scores"], feed)[0])

    return run


def _random(shape: tuple[int, ...], batch: int) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
