"""Learning rates by step and by layer, beside those that the authors' schedulers and scripts used."""

from typing import Any

from avf_training.conversion.parity import ParityRow
from avf_training.framewise import schedules
from avf_training.framewise.layer_rates import (
    LayerSize,
    discriminative_rates,
    lowest_open_layer,
    open_layers,
    optimizer_layers,
)
from avf_training.framewise.parity.rows import OracleNumbers, Pair, compare_equal, compare_pairs

TOLERANCE = 1e-12


def compare_schedules(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return the rates of every schedule, step by step."""
    warmup: list[Pair] = []
    for name, numbers in oracle.items():
        if "lr_used_at_step" in numbers:
            ours = [
                schedules.warmup_then_epoch_cosine(
                    step, steps_per_epoch=numbers["len_loader"], warmup_from=numbers["warmup_start"]
                )
                for step in range(len(numbers["lr_used_at_step"]))
            ]
            warmup.append((name, ours, numbers["lr_used_at_step"]))
    restarts: list[Pair] = []
    for name, highest in (
        ("audio_adam_lr_1e-4_eta_min_1e-4", 1e-4),
        ("av_fusion_adam_lr_5e-3_eta_min_1e-4_iters_4", 5e-3),
    ):
        used = oracle[name]["lr_used"]
        ours = [
            schedules.cosine_with_restarts(step, steps_per_epoch=4, highest=highest, lowest=1e-4)
            for step in range(len(used))
        ]
        restarts.append((name, ours, used))
    netease: list[Pair] = [
        (
            name,
            [schedules.netease_epoch_rate(epoch, highest=highest) for epoch in range(len(oracle[name]))],
            oracle[name],
        )
        for name, highest in (("netease_epoch_lr_5e-05", 5e-5), ("netease_epoch_lr_0.0001", 1e-4))
    ]
    autoencoder: list[Pair] = [
        (f"epoch {epoch}", schedules.masked_autoencoder_rate(float(epoch)), rate)
        for epoch, rate in oracle["mae_lr_at_epoch(blr 1.5e-4, batch 4096)"].items()
    ]
    return [
        compare_pairs(file, group, pairs, TOLERANCE)
        for group, pairs in (
            ("warm-up and cosine", warmup),
            ("warm restarts", restarts),
            ("NetEase epochs", netease),
            ("image MAE", autoencoder),
        )
    ]


def compare_layer_rates(file: str, oracle: OracleNumbers) -> list[ParityRow]:
    """Return discriminative rates, unfrozen layers of each epoch, and what the optimizer holds with both."""
    rates: list[Pair] = []
    equal: list[tuple[str, object, object]] = []
    for network, numbers in oracle.items():
        layers = [LayerSize(name=name, parameters=count) for name, count in numbers["layers"]]
        for name, factor in (("DL_lr_per_layer", 0.85), ("DL_lr_per_layer_factor_0.9_(paper)", 0.9)):
            ours = discriminative_rates(layers, factor=factor)
            theirs = {int(index): rate for index, rate in numbers[name].items()}
            equal.append((f"{network}: layers of {name}", list(ours), list(theirs)))
            rates.append((f"{network}: {name}", list(ours.values()), list(theirs.values())))
        equal += _unfreezing(network, layers, numbers)
    return [compare_pairs(file, "learning rates", rates, TOLERANCE), compare_equal(file, "layers and counts", equal)]


def _unfreezing(network: str, layers: list[LayerSize], numbers: dict[str, Any]) -> list[tuple[str, object, object]]:
    equal: list[tuple[str, object, object]] = []
    for epoch in numbers["GU_epochs"]:
        name = f"{network}: epoch {epoch['epoch']}"
        equal.append((name, list(open_layers(layers, epoch["epoch"])), epoch["unfrozen_layers"]))
        equal.append((name, lowest_open_layer(layers, epoch["epoch"]), epoch["lowest_reached"]))
    rates = discriminative_rates(layers, factor=0.85)
    together = optimizer_layers(layers, rates=rates, gradual_unfreezing=True, protocol="authors_code")
    equal += [
        (f"{network}: in the optimizer", list(together), numbers["GU+DL_layers_in_optimizer_forever"]),
        (f"{network}: rates", sorted(set(together.values())), sorted(numbers["GU+DL_lrs"])),
        (
            f"{network}: parameters",
            sum(layers[index].parameters for index in together),
            numbers["GU+DL_params_in_optimizer_forever"],
        ),
    ]
    return equal
