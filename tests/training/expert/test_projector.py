"""A projector is written and read, and hooks work on any causal model with an embedding layer."""

from pathlib import Path

import pytest
import torch
from avf_shards.errors import FaultError, UserError
from avf_training.expert.projector import Projector
from avf_training.expert.splice import ExpertSplice
from torch import Tensor, nn

WIDTH, HIDDEN = 12, 32


def clip_tokens() -> Tensor:
    return torch.randn(1, 8, WIDTH, generator=torch.Generator().manual_seed(3))


class ToyModel(nn.Module):
    """An embedding layer and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(16, HIDDEN)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def forward(self, input_ids: Tensor, pixel_values: Tensor | None = None) -> Tensor:
        embedded: Tensor = self.embeddings(input_ids)
        return embedded


def test_the_hook_puts_projected_tokens_at_the_placeholders() -> None:
    model, projector = ToyModel(), Projector(WIDTH, HIDDEN)
    splice = ExpertSplice(model, 9, projector)
    ids = torch.tensor([[1, *[9] * 8, 2]])
    with splice.tokens(clip_tokens()):
        embedded = model(ids, pixel_values=torch.zeros(1))
    assert torch.equal(embedded[:, 1:9], projector(clip_tokens()))
    assert torch.equal(embedded[:, [0, 9]], model.embeddings(torch.tensor([[1, 2]])))
    assert torch.equal(model(ids), model.embeddings(ids)), "outside the block nothing is put there"
    with pytest.raises(ValueError, match="stopped"), splice.tokens(clip_tokens()):
        raise ValueError("stopped")
    assert torch.equal(model(ids), model.embeddings(ids))


def test_a_projector_is_saved_and_loaded(tmp_path: Path) -> None:
    projector = Projector(WIDTH, HIDDEN)
    projector.save(tmp_path / "p.safetensors")
    loaded = Projector.load(tmp_path / "p.safetensors")
    assert torch.equal(loaded(clip_tokens()), projector(clip_tokens()))
    (tmp_path / "damaged.safetensors").write_bytes((tmp_path / "p.safetensors").read_bytes()[:-4])
    with pytest.raises(FaultError, match="not readable as a projector"):
        Projector.load(tmp_path / "damaged.safetensors")
    with pytest.raises(UserError, match="no such file"):
        Projector.load(tmp_path / "none.safetensors")
