"""AVF-MAE++ with LGI encoders and IAV-CL in plain numpy, written from the papers, to check the models by.

It shares no code with them: every clip and every region is computed by itself, in float64. Parameters have the names
of the models' state dict. Shapes: B clips, K regions, S local tokens of a region, N tokens, C width, U units.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from avf_training.models.config import ModelConfig
from scipy.special import erf

Array = npt.NDArray[np.float64]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    result: Array = e / e.sum(-1, keepdims=True)
    return result


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def positions(tokens: int, width: int) -> Array:
    """Return the sin-cos table (N, C), rounded to float32 as the authors store it."""
    table = np.zeros((tokens, width))
    for p, j in product(range(tokens), range(width)):
        angle = p / 10_000 ** (2 * (j // 2) / width)
        table[p, j] = math.sin(angle) if j % 2 == 0 else math.cos(angle)
    return table.astype(np.float32).astype(np.float64)


class NumpyModel:
    """The forward pass of a model of `config` with the parameters `state`."""

    def __init__(self, config: ModelConfig, state: Mapping[str, Array]) -> None:
        self.config, self.state = config, state
        self.moments: list[tuple[str, int, Array, Array]] = []  # of batch norm in training: block, unit, mean, variance

    def linear(self, name: str, x: Array) -> Array:
        weight = self.state[f"{name}.weight"]
        y: Array = x @ weight.reshape(len(weight), -1).T
        return y + self.state[f"{name}.bias"] if f"{name}.bias" in self.state else y

    def norm(self, name: str, x: Array, eps: float | None = None) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(
            (centred**2).mean(-1, keepdims=True) + (self.config.norm_eps if eps is None else eps)
        )
        result: Array = scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]
        return result

    def feed_forward(self, name: str, x: Array) -> Array:
        hidden = self.linear(f"{name}.fc1", x)
        return self.linear(f"{name}.fc2", 0.5 * hidden * (1 + erf(hidden / math.sqrt(2))))

    def heads(self, name: str, q: Array, k: Array, v: Array, heads: int) -> Array:
        size = q.shape[-1] // heads
        parts = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = softmax(q[..., part] @ np.swapaxes(k[..., part], -1, -2) / math.sqrt(size))
            parts.append(scores @ v[..., part])
        return self.linear(f"{name}.proj", np.concatenate(parts, -1))

    def self_attention(self, name: str, x: Array, heads: int) -> Array:
        wq, wk, wv = np.split(self.state[f"{name}.qkv.weight"], 3)
        q, v = x @ wq.T + self.state[f"{name}.q_bias"], x @ wv.T + self.state[f"{name}.v_bias"]
        return self.heads(name, q, x @ wk.T, v, heads)

    def cross_attention(self, name: str, x: Array, context: Array, heads: int) -> Array:
        wk, wv = np.split(self.state[f"{name}.kv.weight"], 2)
        q = x @ self.state[f"{name}.q.weight"].T + self.state[f"{name}.q_bias"]
        return self.heads(name, q, context @ wk.T, context @ wv.T + self.state[f"{name}.v_bias"], heads)

    def regions(self, name: str) -> list[list[int]]:
        """Return the raster indices of each region's tokens, by the coordinates of the token."""
        video = name == "video"
        grid = self.config.geometry.video_grid if video else self.config.geometry.audio_grid
        region = (self.config.video if video else self.config.audio).region
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, token in enumerate(product(*map(range, grid))):
            groups.setdefault(tuple(t // r for t, r in zip(token, region, strict=True)), []).append(number)
        return [groups[key] for key in sorted(groups)]

    def patch(self, name: str, clip: Array, token: int) -> Array:
        g = self.config.geometry
        if name == "video":
            _, height, width = g.video_grid
            t, y, x = token // (height * width), token // width % height, token % width
            rows, columns = (slice(i * g.patch_px, (i + 1) * g.patch_px) for i in (y, x))
            return clip[:, t * g.tube_frames : (t + 1) * g.tube_frames, rows, columns].ravel()
        t, f = divmod(token, g.audio_grid[1])
        return clip[0, t * g.mel_patch : (t + 1) * g.mel_patch, f * g.mel_patch : (f + 1) * g.mel_patch].ravel()

    def encode(self, name: str, clip: Array, shown: Sequence[Sequence[int]]) -> list[tuple[Array, Array]]:
        """Return region tokens (K, C) and local tokens (K * S, C) of each layer, normalized, of one clip.

        shown: raster indices of the tokens that each region shows.
        """
        modality, base = (self.config.video if name == "video" else self.config.audio), f"encoder_{name}"
        geometry, heads = self.config.geometry, modality.heads
        table = positions(geometry.video_tokens if name == "video" else geometry.audio_tokens, modality.width)
        region = self.state[f"{base}.region_tokens"]
        local = [
            np.stack([self.linear(f"{base}.embed.proj", self.patch(name, clip, n)) + table[n] for n in tokens])
            for tokens in shown
        ]
        layers = []
        for number in range(modality.depth):
            p = f"{base}.blocks.{number}"
            for k, tokens in enumerate(local):  # stage I: each region by itself, with its region token
                x = np.concatenate([region[k : k + 1], tokens])
                x = x + self.self_attention(f"{p}.local_attn", self.norm(f"{p}.local_norm", x), heads)
                region, local[k] = np.concatenate([region[:k], x[:1], region[k + 1 :]]), x[1:]
            region = region + self.self_attention(f"{p}.region_attn", self.norm(f"{p}.region_norm", region), heads)
            context = self.norm(f"{p}.spread_context_norm", region)
            local = [
                x + self.cross_attention(f"{p}.spread_attn", self.norm(f"{p}.spread_norm", x), context, heads)
                for x in local
            ]
            context = self.norm(f"{p}.gather_context_norm", np.concatenate(local))
            region = region + self.cross_attention(
                f"{p}.gather_attn", self.norm(f"{p}.gather_norm", region), context, heads
            )
            region = region + self.feed_forward(f"{p}.mlp", self.norm(f"{p}.norm2", region))
            local = [x + self.feed_forward(f"{p}.mlp", self.norm(f"{p}.norm2", x)) for x in local]
            layers.append((self.norm(f"{base}.norm", region), self.norm(f"{base}.norm", np.concatenate(local))))
        return layers

    def interact(self, p: str, x: Array, other: Array) -> Array:
        heads = self.config.fusion_heads
        own = x + self.self_attention(f"{p}.self_attn", self.norm(f"{p}.self_norm", x), heads)
        own = own + self.feed_forward(f"{p}.self_mlp", self.norm(f"{p}.self_mlp_norm", own))
        context = self.norm(f"{p}.cross_context_norm", other)
        cross = x + self.cross_attention(f"{p}.cross_attn", self.norm(f"{p}.cross_norm", x), context, heads)
        cross = cross + self.feed_forward(f"{p}.cross_mlp", self.norm(f"{p}.cross_mlp_norm", cross))
        joined = np.concatenate([own, cross], -1)
        gates = [sigmoid(self.linear(f"{p}.{gate}", joined)) for gate in ("self_gate", "cross_gate")]
        return self.norm(f"{p}.norm", gates[0] * own + gates[1] * cross)

    def refine(self, name: str, unit: int, context: Array, tokens: Array, training: bool) -> Array:
        """Return the convolutional block of one modality: batch norm has statistics of this unit alone."""
        p = f"fusion.refinement.{name}"
        scores = softmax(context @ np.swapaxes(tokens, 1, 2) / math.sqrt(context.shape[-1]))
        x = self.linear(f"{p}.conv", scores @ tokens)
        if training:
            mean, variance = x.mean((0, 1)), x.var((0, 1))
            count = x.shape[0] * x.shape[1]
            self.moments.append((p, unit, mean, variance * count / (count - 1)))
        else:
            mean, variance = (self.state[f"{p}.norm.running_{part}"][unit] for part in ("mean", "var"))
        x = (x - mean) / np.sqrt(variance + 1e-5) * self.state[f"{p}.norm.weight"] + self.state[f"{p}.norm.bias"]
        return np.where(x > 0, x, self.state[f"{p}.act.weight"] * x)

    def fuse(self, video: Array, audio: Array, context: Array, training: bool) -> tuple[Array, Array]:
        """Return fused video and audio (B, N, C) by IAV-CL, from a context (B, O, 2C)."""
        context = self.linear("fusion.refinement.reduce", context)
        outputs: dict[str, list[Array]] = {"video": [], "audio": []}
        for unit in range(self.config.fusion_depth):
            video, audio = (
                self.interact(f"fusion.units.{unit}.video", video, audio),
                self.interact(f"fusion.units.{unit}.audio", audio, video),
            )
            refined = sum(
                self.refine(name, unit, context, tokens, training)
                for name, tokens in (("audio", audio), ("video", video))
            )
            context = self.norm("fusion.refinement.norm", context + refined, 1e-5)
            outputs["video"].append(video)
            outputs["audio"].append(audio)
        context = self.norm("fusion.hafe.context_norm", context)
        return self.aggregate("video", outputs["video"], context), self.aggregate("audio", outputs["audio"], context)

    def aggregate(self, name: str, units: list[Array], context: Array) -> Array:
        p, heads = f"fusion.hafe.{name}", self.config.fusion_heads
        y = np.stack(units, 2)  # (B, N, U, C)
        y = y + self.self_attention(f"{p}.attn", self.norm(f"{p}.norm", y), heads)
        y = y + self.feed_forward(f"{p}.mlp", self.norm(f"{p}.mlp_norm", y))
        s = (sigmoid(self.linear(f"{p}.gate", y)) * y).sum(2)
        s = s + self.cross_attention("fusion.hafe.cross_attn", self.norm(f"{p}.cross_norm", s), context, heads)
        return s + self.feed_forward(f"{p}.cross_mlp", self.norm(f"{p}.cross_mlp_norm", s))

    def classify(self, videos: Array, audios: Array, training: bool) -> Array:
        """Return the logits (B, J): all tokens are shown, encoders give their region tokens."""
        last, weighted = [], []
        for name, clips in (("video", videos), ("audio", audios)):
            layers_BLKC = np.array([[r for r, _ in self.encode(name, clip, self.regions(name))] for clip in clips])
            weights = softmax(self.state[f"layer_weights_{name}"])
            weighted.append((weights[None, :, None, None] * layers_BLKC).sum(1))
            last.append(layers_BLKC[:, -1])
        fused = self.fuse(last[0], last[1], np.concatenate(weighted, -1), training)
        feature = np.concatenate([part.mean(1) for part in fused], -1)
        return self.linear("head", self.norm("fc_norm", feature))

    def decode(self, name: str, fused: Array, skips: list[Array], shown: list[int], targets: list[int]) -> Array:
        """Return the predicted patches of one clip at `targets`."""
        modality, p = (self.config.video if name == "video" else self.config.audio), f"decoder_{name}"
        geometry, heads = self.config.geometry, modality.decoder_heads
        tokens = geometry.video_tokens if name == "video" else geometry.audio_tokens
        table = positions(tokens, modality.decoder_width)
        mask_token = self.state[f"{p}.mask_token"][0, 0]
        x = np.concatenate([self.linear(f"{p}.to_decoder", fused) + table[shown], mask_token + table[targets]])
        for number in range(modality.decoder_depth):
            b, skip = f"{p}.blocks.{number}", number - (modality.decoder_depth - len(skips))
            if skip >= 0:  # the deepest first
                context = self.linear(f"{p}.to_decoder", skips[len(skips) - 1 - skip]) + table[shown]
                context = self.norm(f"{b}.cross_norm2", context)
                x = x + self.cross_attention(f"{b}.cross_attn", self.norm(f"{b}.cross_norm1", x), context, heads)
            x = x + self.self_attention(f"{b}.attn", self.norm(f"{b}.norm1", x), heads)
            x = x + self.feed_forward(f"{b}.mlp", self.norm(f"{b}.norm2", x))
        return self.linear(f"{p}.head", self.norm(f"{p}.norm", x[len(shown) :]))
