"""Projected tokens in the place of placeholders among a language model's embeddings, by hooks on the model.

The model of Hugging Face stays as it is: its signature, generate(), PEFT and Trainer do not notice. A token of the
vocabulary stands K times in each row of `input_ids`; behind the embedding layer a hook puts the projected tokens there.

Models with positions in three dimensions, such as Qwen2.5-VL, compute them from `input_ids` and, since transformers 5,
`mm_token_type_ids`. Without these they fall back to positions in a single dimension and say nothing: the answer is
another one. So a call that would fall back is refused. This module imports torch alone. Shapes: B rows, L tokens of a
row, K expert tokens, C width, H hidden.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from avf_shards.errors import UserError
from torch import Tensor, nn

from avf_training.expert.projector import Projector

_PICTURES = ("pixel_values", "pixel_values_videos")
_TYPES = "mm_token_type_ids"  # 0: text; 1: picture; 2: video. The processor of transformers 5 makes it.


class ExpertSplice:
    """Hooks that put the tokens of clips into each forward pass inside `tokens(...)`."""

    def __init__(self, model: Any, token_id: int, projector: Projector) -> None:
        """Put the hooks on a causal model of Hugging Face, or on the one inside a PEFT model.

        Args:
            model: has `get_input_embeddings`.
            token_id: of the placeholder.
            projector: from tokens to the model's embeddings; it learns where the caller trains it.

        Raises:
            UserError: The placeholder has no row of the embeddings, or the projector another width than these.
        """
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        embeddings = base.get_input_embeddings()
        rows, hidden = embeddings.weight.shape
        if not 0 <= token_id < rows:
            raise UserError(
                f"token {token_id}: the model has {rows} embeddings; call model.resize_token_embeddings after the "
                "token is added to the tokenizer"
            )
        if projector.hidden != hidden:
            raise UserError(f"the projector gives {projector.hidden} values, and the model's embeddings have {hidden}")
        self.token_id, self.projector = token_id, projector
        self._takes_types = _TYPES in inspect.signature(base.forward).parameters
        self._has_grid_positions = _has_grid_positions(base)
        self._projected_BKH: Tensor | None = None
        self._calls = 0  # passes that the tokens were put into since `tokens` began
        self._handles = [
            base.register_forward_pre_hook(self._check_inputs, with_kwargs=True),
            embeddings.register_forward_hook(self._put_tokens),
        ]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def tokens(self, tokens_BKC: Tensor) -> Iterator[None]:
        """Put these tokens into the model's calls inside the block, a row for each row of `input_ids`.

        Where generate() repeats each row, for beams or several answers, so are the tokens.

        Raises:
            UserError: A call has another number of placeholders or rows, or would lose its positions; or no call had
                a placeholder at all.
        """
        self._projected_BKH, self._calls = self.projector(tokens_BKC), 0
        try:
            yield
        finally:
            self._projected_BKH = None
        if not self._calls:
            raise UserError(
                f"no input has the placeholder {self.token_id}, so the model has not seen the expert's tokens"
            )

    def _check_inputs(self, module: nn.Module, arguments: tuple[Any, ...], inputs: Mapping[str, Any]) -> None:
        """Refuse a call whose positions would be of a single dimension, or that has no `input_ids`."""
        if self._projected_BKH is None:
            return
        ids_BL = inputs.get("input_ids", arguments[0] if arguments else None)
        if ids_BL is None or inputs.get("inputs_embeds") is not None:
            raise UserError(
                "the call has inputs_embeds; give input_ids alone: the expert's tokens are put behind the embedding "
                "layer, and a model with positions of pictures computes them from input_ids"
            )
        at_BL = ids_BL == self.token_id
        types_BL = inputs.get(_TYPES)
        shows_pictures = any(inputs.get(name) is not None for name in _PICTURES)
        needs_types = self._has_grid_positions and self._takes_types and inputs.get("position_ids") is None
        if shows_pictures and needs_types and types_BL is None:
            raise UserError(
                f"the call has pictures and no {_TYPES}: the model would count all positions in a single dimension "
                "without a word; pass what the processor returns"
            )
        if types_BL is not None and types_BL.shape == at_BL.shape and bool(types_BL[at_BL].any()):
            raise UserError(f"{_TYPES} is not 0 at the placeholders; their positions are those of text")

    def _put_tokens(self, module: nn.Module, arguments: tuple[Any, ...], embedded: Tensor) -> Tensor | None:
        """Return the embeddings with the tokens in the place of the placeholders; None leaves them as they are."""
        projected_BKH = self._projected_BKH
        ids_BL = arguments[0] if arguments else None
        if projected_BKH is None or ids_BL is None or ids_BL.ndim != 2:
            return None
        at_BL = ids_BL == self.token_id
        counts = at_BL.sum(1)
        if not bool(counts.any()):
            return None  # generate() after its first pass
        rows, expected = len(ids_BL), projected_BKH.shape[1]
        if rows % len(projected_BKH):
            raise UserError(f"input_ids has {rows} rows, and the tokens are of {len(projected_BKH)} clips")
        wrong = torch.nonzero(counts != expected).flatten().tolist()
        if wrong:
            raise UserError(
                f"row {wrong[0]} of input_ids has the placeholder {int(counts[wrong[0]])} times, and a clip has "
                f"{expected} tokens"
            )
        repeated = projected_BKH.repeat_interleave(rows // len(projected_BKH), 0)
        self._calls += 1
        mask = at_BL[..., None].expand_as(embedded)
        return embedded.masked_scatter(mask, repeated.to(embedded.dtype).to(embedded.device))


def _has_grid_positions(model: Any) -> bool:
    """Return whether a model counts positions of pictures in three dimensions, as those with M-RoPE do."""
    return any(hasattr(part, "get_rope_index") for part in (model, getattr(model, "model", None)))
