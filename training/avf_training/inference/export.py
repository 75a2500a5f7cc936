"""A fine-tuned model as one file for other programs: torch.export, checked against the model it came from."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from avf_shards import durable_io
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.finetuning.initialization import start_model
from avf_training.models.classifier import Classifier

_BATCHES = (2, 3, 5)
_TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """worst: largest difference of any answer, over batches of several sizes. inputs: shapes, B the batch."""

    path: Path
    names: tuple[str, ...]
    inputs: tuple[str, ...]
    worst: float


class _Answers(nn.Module):
    """Inputs to shares of the classes, or dimensions."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        modalities = self.model.config.modalities
        video = inputs[0] if "v" in modalities else None
        audio = inputs[-1] if "a" in modalities else None
        return self.model.answers(self.model(video, audio).logits_BJ)


def export_model(saved: Path, out: Path) -> ExportResult:
    """Write OUT.pt2, to be run with `torch.export.load(OUT).module()(video, sound)`, for any batch from 2 clips on.

    video: (B, 3, 16, 160, 160), ImageNet-normalised; sound: (B, 1, 256, 128), log-mel as data/transforms makes it.
    Raises UserError where an answer differs by more than 1e-5 from the model's.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; name a new file")
    model = Classifier.from_pretrained(start_model(saved))
    answers = _Answers(model).eval()
    geometry, modalities = model.config.geometry, model.config.modalities
    shapes = [shape for kind, shape in (("v", geometry.video_shape), ("a", geometry.audio_shape)) if kind in modalities]
    batch = torch.export.Dim("batch", min=2)
    example = tuple(_random(shape, 2) for shape in shapes)
    program = torch.export.export(answers, example, dynamic_shapes=((*[{0: batch}] * len(shapes),),))
    with tempfile.TemporaryDirectory(prefix="avf-export-") as folder:
        path = Path(folder, "model.pt2")
        torch.export.save(program, path)
        again = torch.export.load(path).module()
        worst = 0.0
        with torch.no_grad():
            for size in _BATCHES:
                inputs = tuple(_random(shape, size) for shape in shapes)
                worst = max(worst, float((again(*inputs) - answers(*inputs)).abs().max()))
        if not worst <= _TOLERANCE:
            raise UserError(f"{saved}: the exported model differs by {worst:.2g} from it; nothing was written")
        durable_io.replace_file(out, path.read_bytes())
    told = tuple(f"(B, {', '.join(map(str, shape))})" for shape in shapes)
    return ExportResult(path=out, names=model.meaning.names, inputs=told, worst=worst)


def _random(shape: tuple[int, ...], batch: int) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
