"""Expert tokens among a language model's embeddings equal embeddings by hand, and wrong positions are refused."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.expert.projector import Projector
from avf_training.expert.splice import ExpertSplice
from torch import Tensor

transformers = pytest.importorskip("transformers", reason="the extra mllm is not installed")

PLACEHOLDER, TOKENS, WIDTH, HIDDEN = 100, 8, 12, 32
IMAGE, VIDEO, START, END = 120, 121, 122, 123


@pytest.fixture(scope="module")
def model() -> Any:
    """A Qwen2.5-VL of 100,000 random parameters."""
    torch.manual_seed(0)
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 128,
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 2,
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1],
        },
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


@pytest.fixture
def splice(model: Any) -> Iterator[ExpertSplice]:
    torch.manual_seed(1)
    hooks = ExpertSplice(model, PLACEHOLDER, Projector(WIDTH, HIDDEN))
    yield hooks
    hooks.remove()


def inputs_of(rows: int = 1, pad: int = 0) -> dict[str, Tensor]:
    """Return text, a video of 12 tokens, the placeholders and text again, padded at the left."""
    row = [5, 6, START, *[VIDEO] * 12, END, *[PLACEHOLDER] * TOKENS, 7, 8]
    ids = torch.tensor([[0] * pad + row] * rows)
    generator = torch.Generator().manual_seed(2)
    return {
        "input_ids": ids,
        "attention_mask": torch.tensor([[0] * pad + [1] * len(row)] * rows),
        "mm_token_type_ids": (ids == VIDEO).int() * 2,
        "pixel_values_videos": torch.randn(48, 1176, generator=generator).repeat(rows, 1),
        "video_grid_thw": torch.tensor([[3, 4, 4]] * rows),
        "second_per_grid_ts": torch.tensor([1.0] * rows),
    }


def clip_tokens(rows: int = 1, seed: int = 3) -> Tensor:
    return torch.randn(rows, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits_of(model: Any, splice: ExpertSplice, inputs: dict[str, Any], tokens: Tensor) -> Tensor:
    with splice.tokens(tokens):
        logits: Tensor = model(**inputs).logits
    return logits


@torch.no_grad()
def test_the_hook_equals_embeddings_beside_input_ids(model: Any, splice: ExpertSplice) -> None:
    inputs, tokens = inputs_of(), clip_tokens()
    hooked = logits_of(model, splice, inputs, tokens)
    embedded = model.get_input_embeddings()(inputs["input_ids"]).clone()
    embedded[inputs["input_ids"] == PLACEHOLDER] = splice.projector(tokens)[0]
    # The model computes positions from input_ids, which are ignored otherwise where there are embeddings.
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        video_grid_thw=inputs["video_grid_thw"],
        second_per_grid_ts=inputs["second_per_grid_ts"],
        attention_mask=inputs["attention_mask"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
    )
    video = model.model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"]).pooler_output[0]
    embedded[inputs["input_ids"] == VIDEO] = video
    by_hand = model(inputs_embeds=embedded, attention_mask=inputs["attention_mask"], position_ids=positions).logits
    assert torch.allclose(hooked, by_hand, atol=1e-6)
    others = logits_of(model, splice, inputs, clip_tokens(seed=4))
    assert (hooked[0, -1] - others[0, -1]).abs().max() > 1e-5, "the last token hears the expert"


@torch.no_grad()
def test_without_tokens_the_model_is_as_it_was(model: Any, splice: ExpertSplice) -> None:
    inputs = inputs_of()
    with_hooks = model(**inputs).logits
    splice.remove()
    assert torch.equal(model(**inputs).logits, with_hooks)


@torch.no_grad()
def test_generation_follows_its_own_logits(model: Any, splice: ExpertSplice) -> None:
    inputs, tokens = inputs_of(), clip_tokens()
    with splice.tokens(tokens):
        generated = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert generated.shape[1] == inputs["input_ids"].shape[1] + 4
    step = inputs
    for position in range(inputs["input_ids"].shape[1], generated.shape[1]):
        best = logits_of(model, splice, step, tokens)[0, -1].argmax()
        assert int(best) == int(generated[0, position])
        ids = generated[:, : position + 1]
        step = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        step["mm_token_type_ids"] = (ids == VIDEO).int() * 2
    with splice.tokens(tokens):
        beams = model.generate(**inputs, max_new_tokens=2, num_beams=3, do_sample=False)
    assert len(beams) == 1


@torch.no_grad()
def test_a_padded_row_is_the_row_alone(model: Any, splice: ExpertSplice) -> None:
    alone = logits_of(model, splice, inputs_of(), clip_tokens())
    padded = logits_of(model, splice, inputs_of(pad=5), clip_tokens())
    assert torch.allclose(padded[0, 5:], alone[0], atol=1e-6)
    two = torch.cat([clip_tokens(seed=4), clip_tokens()])
    assert torch.allclose(logits_of(model, splice, inputs_of(rows=2), two)[1], alone[0], atol=1e-6)


def test_the_projector_alone_learns(model: Any, splice: ExpertSplice) -> None:
    model.requires_grad_(False)
    with splice.tokens(clip_tokens()):
        loss = model(**inputs_of(), labels=inputs_of()["input_ids"]).loss
    loss.backward()
    assert all(parameter.grad is not None for parameter in splice.projector.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert splice.projector.layers[0].weight.grad.abs().max() > 0
    model.requires_grad_(True)


@torch.no_grad()
def test_positions_in_a_single_dimension_are_refused(model: Any, splice: ExpertSplice) -> None:
    """The trap: without mm_token_type_ids the model answers, from other positions."""
    inputs = inputs_of()
    without = {name: value for name, value in inputs.items() if name != "mm_token_type_ids"}
    silent = model(**without).logits
    assert not torch.allclose(silent, model(**inputs).logits, atol=1e-4), "nothing is raised, and the answer differs"
    with pytest.raises(
        UserError, match="no mm_token_type_ids: the model would count all positions in a single dimension"
    ):
        logits_of(model, splice, without, clip_tokens())
    embedded = model.get_input_embeddings()(inputs["input_ids"])
    with pytest.raises(UserError, match="the call has inputs_embeds; give input_ids alone"):
        logits_of(model, splice, {"inputs_embeds": embedded}, clip_tokens())
    marked = {**inputs, "mm_token_type_ids": (inputs["input_ids"] == PLACEHOLDER).int()}
    with pytest.raises(UserError, match="mm_token_type_ids is not 0 at the placeholders"):
        logits_of(model, splice, marked, clip_tokens())


@torch.no_grad()
def test_wrong_counts_are_refused(model: Any, splice: ExpertSplice) -> None:
    inputs = inputs_of()
    with pytest.raises(UserError, match="row 0 of input_ids has the placeholder 8 times, and a clip has 7 tokens"):
        logits_of(model, splice, inputs, clip_tokens()[:, :7])
    with pytest.raises(UserError, match="input_ids has 1 rows, and the tokens are of 2 clips"):
        logits_of(model, splice, inputs, clip_tokens(rows=2))
    none = {**inputs, "input_ids": inputs["input_ids"].masked_fill(inputs["input_ids"] == PLACEHOLDER, 9)}
    with pytest.raises(UserError, match="no input has the placeholder 100"):
        logits_of(model, splice, none, clip_tokens())
    with pytest.raises(UserError, match=r"takes \(B, K, 12\)"):
        logits_of(model, splice, inputs, clip_tokens()[..., :5])
    with pytest.raises(UserError, match="token 128: the model has 128 embeddings"):
        ExpertSplice(model, 128, Projector(WIDTH, HIDDEN))
    with pytest.raises(UserError, match="the projector gives 16 values, and the model's embeddings have 32"):
        ExpertSplice(model, PLACEHOLDER, Projector(WIDTH, 16))
