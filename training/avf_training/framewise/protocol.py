"""Where papers and released code contradict each other: one switch, and each of 32 differences an option of its own.

An option holds what is done. `ours` is the considered choice, mostly what the paper says and what works; `authors_code`
does as the released code does, faults included, so that its numbers can be compared. A few differences concern a
published table alone; they are listed for the report and change nothing that is computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from avf_shards.errors import UserError

ProtocolName = Literal["ours", "authors_code"]


@dataclass(frozen=True, kw_only=True)
class DifferenceSource:
    """What a difference is about: its number in the list of 32, and both sides of it."""

    number: int
    item: str
    paper: str  # `-` where the paper says nothing
    code: str  # `-` where no code is public
    authors_value: str | float  # of the option by `authors_code`


def _option(default: Any, authors: Any, number: int, item: str, texts: tuple[str, str]) -> Any:
    source = DifferenceSource(number=number, item=item, paper=texts[0], code=texts[1], authors_value=authors)
    return field(default=default, metadata={"source": source})


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """Every option, at its value of `ours`; the comments say what paper and code say."""

    # Paper: the backbone is fine-tuned. Code: it is never in the optimizer when both are on.
    unfreezing_with_layer_rates: Literal["all_layers", "open_at_first"] = _option(
        "all_layers",
        "open_at_first",
        1,
        "gradual unfreezing with layer rates",
        ("fine-tuned backbone", "frozen forever"),
    )
    # Paper: .9 a layer. Code: .85.
    layer_rate_factor: float = _option(0.9, 0.85, 2, "factor of layer rates", (".9", ".85"))
    # Paper: 5e-5. Code: 1e-5.
    warmup_start_rate: float = _option(5e-5, 1e-5, 3, "start of the warm-up", ("5e-5", "1e-5"))
    # Paper: 15 px. Code: 10 px for faces (15 for bodies).
    face_margin_px: int = _option(15, 10, 4, "margin around a face", ("15 px", "10 px"))
    # Paper: Gaussian noise. Code: Gaussian blur.
    noise_augmentation: Literal["noise", "blur"] = _option("noise", "blur", 5, "noise augmentation", ("noise", "blur"))
    # Paper: Tanh as the last activation. Code: after the embedding only.
    static_output: Literal["tanh", "linear"] = _option(
        "tanh", "linear", 6, "output of static nets", ("Tanh", "linear; Tanh after the embedding only")
    )
    # Paper: heatmaps of joints. Code: the first 13 of 32 feature maps.
    hrnet_input: Literal["heatmaps13", "features13"] = _option(
        "heatmaps13", "features13", 7, "input behind HRNet", ("heatmaps", "13 feature maps")
    )
    # Paper: the last layer is removed. Code: 1000 ImageNet logits.
    vit_embedding: Literal["class_token", "imagenet_logits"] = _option(
        "class_token", "imagenet_logits", 8, "embedding of ViT", ("last layer removed", "1000 logits")
    )
    # Paper: the sum. Code: the mean. Ours is the mean, which does not depend on the batch.
    log_cosh_reduction: Literal["mean", "sum"] = _option("mean", "mean", 9, "reduction of LogCosh", ("sum", "mean"))
    # Paper: AdamW .005, cyclic, of the visual part. Code: Adam 1e-4, constant. Ours as the code.
    audio_rate: float = _option(1e-4, 1e-4, 10, "learning rate of audio", ("AdamW .005, cyclic", "Adam 1e-4, constant"))
    # Paper: CCC of arousal. Code: reads valence.
    audio_arousal_reads: Literal["arousal", "valence"] = _option(
        "arousal", "valence", 11, "arousal in audio development scores", ("arousal", "reads valence")
    )
    # Paper: nothing. Code: columns swapped, embeddings of development videos not normalized.
    dynamic_development: Literal["right", "swapped_unnormalized"] = _option(
        "right", "swapped_unnormalized", 12, "development scores of dynamic models", ("-", "swapped, unnormalized")
    )
    # Paper: half a second. Code: fps // 2, of a distorted rate on development videos, zeros outside.
    smoothing_window: Literal["odd_half_second", "half_fps_zero_edges"] = _option(
        "odd_half_second", "half_fps_zero_edges", 13, "smoothing window", (".5 s", "fps // 2, zero edges")
    )
    # Paper: nothing. Code: overwrites the window before it in evaluation, never added in training.
    last_window: Literal["append", "overwrite_or_never"] = _option(
        "append", "overwrite_or_never", 14, "last window of a video", ("-", "overwrites, or is never added")
    )
    # Paper: nothing. Code: rounded frame rate, one frame late.
    audio_clock: Literal["exact", "rounded_fps"] = _option(
        "exact", "rounded_fps", 15, "clock of audio segments", ("-", "rounded fps, a frame late")
    )
    # Paper: three layers. Code: v3 was submitted, others exist.
    temporal_model: Literal["v1", "v3", "v4", "v5", "v6", "v7", "v8"] = _option(
        "v3", "v3", 16, "depth of the dynamic model", ("3 layers", "v3 among v1 to v8")
    )
    # Paper: development .763. Code: that is the out-of-bag score on frames.
    forest_score: Literal["grouped", "out_of_bag"] = _option(
        "grouped", "out_of_bag", 17, "development score of forests", (".763", "out of bag, on frames")
    )
    # Paper: 2 s. Code: not public.
    functional_window_s: float = _option(2.0, 2.0, 18, "windows of functionals", ("2 s", "-"))
    # Paper: 1e-4. Code: 5e-5, a triangle of four epochs.
    fusion_rate: Literal["run_cosine", "triangle"] = _option(
        "run_cosine", "triangle", 19, "learning rate of the fusion transformer", ("1e-4", "5e-5, T_max 2")
    )
    # Paper: one linear layer. Code: Linear, batch norm, Linear. Ours as the code.
    fusion_head: Literal["bn_mlp", "linear"] = _option(
        "bn_mlp", "bn_mlp", 20, "head of the fusion transformer", ("one linear layer", "Linear-BN-Linear")
    )
    # Paper: one vector a clip. Code: one a frame. Ours as the code.
    fusion_audio: Literal["per_frame", "per_clip"] = _option(
        "per_frame", "per_frame", 21, "audio in the fusion transformer", ("one vector a clip", "per frame")
    )
    # Paper: names transcripts as a third modality. Code: has none.
    modalities: Literal["audio_visual"] = _option(
        "audio_visual", "audio_visual", 22, "modalities", ("three, with transcripts", "audio and visual")
    )
    # Paper: a factor of 1/8. Code: the mean weighted by the labels' weights. Ours as the code.
    expression_loss_divides_by: Literal["label_weights", "classes"] = _option(
        "label_weights", "label_weights", 23, "normalization of the expression loss", ("1/8", "weighted mean")
    )
    # Paper: nothing. Code: predictions are clamped inside the loss, and lose their gradient.
    clamp_in_loss: Literal["no", "yes"] = _option("no", "yes", 24, "clamp inside the valence loss", ("-", "yes"))
    # Paper: five random folds. Code: those of 2022 leak and lose videos; not usable, so grouped in both.
    folds: Literal["grouped"] = _option(
        "grouped", "grouped", 25, "folds", ("5 random folds", "leaks and loses videos (2022)")
    )
    # Paper: L2 of pixels. Code: not public; MAE's recipe normalizes patches.
    mae_norm_pix: Literal["off", "on"] = _option("off", "off", 26, "target of image MAE", ("pixels", "-"))
    # The paper prints a row twice with different results; the third must be with the fusion transformer.
    netease_table_5_row_3: Literal["with_fusion"] = _option(
        "with_fusion", "with_fusion", 27, "NetEase table 5, AU row 3", ("without fusion, like row 1", "-")
    )
    # Published .564, the average; valence itself is .5223 in the other paper.
    ctyunai_valence: float = _option(0.5223, 0.5223, 28, "NetEase table 4, CtyunAI valence", (".564", "-"))
    # Published 54.22; the mean of its folds is 54.21.
    fold_5_average: float = _option(54.21, 54.21, 29, "NetEase table 1, average of fold 5", ("54.22", "-"))
    # The paper says 547, the organizers 542: files are counted.
    action_unit_videos: Literal["counted"] = _option("counted", "counted", 30, "videos with action units", ("547", "-"))
    # Published with ImageNet heads, 7.8 M and 19.3 M; without them 6.84 M and 18.01 M.
    static_parameters: Literal["both"] = _option(
        "both", "both", 31, "parameters of EfficientNet", ("7.8 M, 19.3 M", "6.84 M, 18.01 M")
    )
    # Paper: nothing. Code: means of BGR are subtracted from RGB.
    retinaface_means: Literal["matching", "swapped"] = _option(
        "matching", "swapped", 32, "channel means of RetinaFace", ("-", "BGR means from RGB")
    )


Part = Literal[
    "static networks", "pictures", "image MAE", "acoustic models", "temporal", "temporal versions", "cross-attention",
    "fusion transformer", "kernel machine", "ensemble",
]  # fmt: skip
"""What may use an option: a kind of network of single pictures or of sound, a sequence model, or an ensemble."""
_SEQUENCES: tuple[Part, ...] = ("temporal", "temporal versions", "cross-attention", "fusion transformer")
USED_BY: Mapping[str, tuple[Part, ...]] = {
    "unfreezing_with_layer_rates": ("static networks",),
    "layer_rate_factor": ("static networks",),
    "warmup_start_rate": ("static networks", "temporal", "temporal versions"),
    "noise_augmentation": ("static networks",),
    "static_output": ("static networks",),
    "hrnet_input": ("static networks",),
    "vit_embedding": ("static networks",),
    "log_cosh_reduction": ("pictures",),
    "audio_rate": ("acoustic models",),
    "audio_arousal_reads": ("acoustic models",),
    "dynamic_development": _SEQUENCES,
    "smoothing_window": ("ensemble",),
    "last_window": ("temporal", "temporal versions", "cross-attention"),
    "audio_clock": ("acoustic models",),
    "temporal_model": ("temporal",),
    "forest_score": ("ensemble",),
    "functional_window_s": ("kernel machine",),
    "fusion_rate": ("fusion transformer",),
    "fusion_head": ("fusion transformer",),
    "fusion_audio": ("fusion transformer",),
    "expression_loss_divides_by": ("pictures", *_SEQUENCES),
    "clamp_in_loss": ("pictures", *_SEQUENCES),
    "folds": ("ensemble",),
    "mae_norm_pix": ("image MAE",),
}
"""Option -> what uses it. The others are told alone, for the reasons of `TOLD_ALONE`."""
TOLD_ALONE: Mapping[str, str] = {
    "face_margin_px": "faces are cut by curation, whose recipe says how",
    "modalities": "neither system has transcripts",
    "netease_table_5_row_3": "a printed table",
    "ctyunai_valence": "a printed table",
    "fold_5_average": "a printed table",
    "action_unit_videos": "a printed number",
    "static_parameters": "a printed number",
    "retinaface_means": "faces are found by curation, whose means are those of the network",
}
"""Option -> why it changes nothing that is computed here."""
_TASK_OF = {"clamp_in_loss": "va", "expression_loss_divides_by": "expr"}


def part_of_model(model: str) -> Part | None:
    """Return the part that a sequence model is, by its name in recipes; None for another name."""
    parts: dict[str, Part] = {
        "temporal": "temporal",
        "cross_attention": "cross-attention",
        "fusion_transformer": "fusion transformer",
        "fusion_two_branches": "fusion transformer",
        "kernel_elm": "kernel machine",
    }
    return parts.get(model, "temporal versions" if model.startswith("temporal_v") else None)


def list_used_options(part: Part, task: str) -> list[str]:
    """Return the options that a part uses for a task."""
    return [name for name, parts in USED_BY.items() if part in parts and _TASK_OF.get(name, task) == task]


@dataclass(frozen=True, kw_only=True)
class ProtocolDifference:
    """A line of the report: what ran for one item."""

    source: DifferenceSource
    option: str  # name of the field
    value: str | float  # that ran
    ours: str | float
    chosen: Literal["ours", "authors_code", "both", "other"]  # which side the value belongs to


def choose_protocol(name: str, changes: Mapping[str, str | float] | None = None) -> ProtocolOptions:
    """Return the options of a protocol with single ones changed.

    Raises UserError for an unknown protocol, option or value.
    """
    if name not in ("ours", "authors_code"):
        raise UserError(f"protocol: {name!r}; it is ours or authors_code")
    options = ProtocolOptions()
    if name == "authors_code":
        authors: dict[str, Any] = {each.name: _source(each).authors_value for each in fields(options)}
        options = replace(options, **authors)
    known = {each.name: each for each in fields(options)}
    for option, value in (changes or {}).items():
        if option not in known:
            raise UserError(f"protocol: no option {option!r}; the options are {', '.join(known)}")
        _check_value(option, value)
    checked: dict[str, Any] = dict(changes or {})
    return replace(options, **checked)


def list_differences(options: ProtocolOptions) -> list[ProtocolDifference]:
    """Return a line for each of the 32 items, in their order."""
    lines = []
    for each in fields(options):
        value, source = getattr(options, each.name), _source(each)
        ours: Any = each.default
        is_ours, is_authors = value == ours, value == source.authors_value
        chosen: Literal["ours", "authors_code", "both", "other"] = "other"
        if is_ours and is_authors:
            chosen = "both"
        elif is_ours or is_authors:
            chosen = "ours" if is_ours else "authors_code"
        lines.append(ProtocolDifference(source=source, option=each.name, value=value, ours=ours, chosen=chosen))
    return lines


def _source(option: Any) -> DifferenceSource:
    source: DifferenceSource = option.metadata["source"]
    return source


def _check_value(option: str, value: str | float) -> None:
    from typing import get_args, get_origin, get_type_hints

    kind = get_type_hints(ProtocolOptions)[option]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UserError(f"protocol: {option}: {value!r}; it is {' or '.join(map(str, get_args(kind)))}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UserError(f"protocol: {option}: {value!r}; it is a number above 0")
    elif kind is int and not isinstance(value, int):
        raise UserError(f"protocol: {option}: {value!r}; it is a whole number")
