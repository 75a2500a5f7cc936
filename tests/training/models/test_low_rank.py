"""Low-rank adapters compute W + alpha / rank * B A, learn alone, and merge into a model without them."""

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.models.classifier import Classifier
from avf_training.models.low_rank import add_adapters, merge_adapters
from avf_training.models.low_rank_config import LoraConfig
from support.models import random_batch, tiny_config

CONFIG = LoraConfig(rank=2, alpha=7)


@pytest.mark.parametrize(("encoder", "fusion"), [("vit", "cross"), ("lgi", "iavcl")])
def test_an_adapted_model_equals_one_with_the_summed_weights(encoder: str, fusion: str) -> None:
    config = tiny_config(encoder, fusion)
    torch.manual_seed(0)
    plain, model = Classifier(config, 3).eval(), Classifier(config, 3).eval()
    model.load_state_dict(plain.state_dict())
    inputs = random_batch(config, 2)
    add_adapters(model, CONFIG, new=())
    assert torch.equal(model(*inputs).logits_BJ, plain(*inputs).logits_BJ), "before the first step it is the start"
    parts = dict(model.named_parameters())
    ups = [name for name in parts if name.endswith(".up_OR")]
    linears = {name for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)}
    expected = {name for name in linears if name.rpartition(".")[0].endswith(("attn", "mlp"))}
    assert {name.partition(".parametrizations")[0] for name in ups} == expected
    summed = dict(plain.state_dict())
    for up in ups:
        torch.nn.init.normal_(parts[up])
        name = up.replace(".parametrizations.weight.0.up_OR", ".weight")
        down = parts[up.replace("up_OR", "down_RI")]
        product = parts[up].detach().double().numpy() @ down.detach().double().numpy()
        summed[name] = torch.from_numpy(summed[name].double().numpy() + 3.5 * product).float()
    plain.load_state_dict(summed)
    assert model(*inputs).logits_BJ.detach().numpy() == pytest.approx(
        plain(*inputs).logits_BJ.detach().numpy(), abs=1e-4
    )
    merged = merge_adapters(model.state_dict(), CONFIG.scale)
    assert merged.keys() == summed.keys()
    for name, tensor in merged.items():
        assert np.allclose(tensor.numpy(), summed[name].numpy(), atol=1e-5), name


def test_adapters_and_what_is_new_learn_and_nothing_else_of_the_start() -> None:
    model = Classifier(tiny_config("vit", "cross"), 3)
    frozen = "encoder_video.blocks.0.mlp.fc1.weight"
    model.get_parameter(frozen).requires_grad_(False)
    new = ["encoder_audio.blocks.0.attn.qkv.weight"]
    add_adapters(model, CONFIG, new)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    outside = {name for name in learning if not name.endswith(("up_OR", "down_RI"))}
    head = {"head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias"}
    assert outside == {*new, *head, "layer_weights_video", "layer_weights_audio"}
    assert not any(name.startswith("encoder_video.blocks.0.mlp.fc1.") for name in learning), "frozen layers stay"
    assert not any(name.startswith("encoder_audio.blocks.0.attn.qkv.param") for name in learning)


def test_a_rank_that_a_layer_does_not_have_is_refused() -> None:
    model = Classifier(tiny_config("vit", "cross"), 3)
    with pytest.raises(UserError, match=r"lora.rank 5000: the smallest layer has \d+ inputs"):
        add_adapters(model, LoraConfig(rank=5000), ())
    assert all(parameter.requires_grad for parameter in model.parameters()), "the model is left as it was"
