"""HiCMAE's pre-training model in the usual style: explicit softmax attention, boolean masks, every token embedded.

It serves for comparison only. Its state dict has the authors' tensor names, so that our weights load into it and the
losses can be compared.

Shapes: B batch, N tokens, C width.
"""

import torch
import torch.nn.functional as F
from avf_training.models.config import ModalityConfig, ModelConfig
from avf_training.models.inputs import IMAGE_MEAN, IMAGE_STD
from avf_training.models.patch_embed import sincos_table
from torch import Tensor, nn


class PlainAttention(nn.Module):
    def __init__(self, width: int, heads: int, cross: bool) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        if cross:
            self.q, self.kv = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        else:
            self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        B, N, C = x.shape
        if context is None:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
            qkv = F.linear(x, self.qkv.weight, bias).reshape(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            q, k, v = qkv[0], qkv[1], qkv[2]
        else:
            q = F.linear(x, self.q.weight, self.q_bias).reshape(B, N, self.heads, -1).transpose(1, 2)
            bias = torch.cat((torch.zeros_like(self.v_bias), self.v_bias))
            kv = F.linear(context, self.kv.weight, bias).reshape(B, context.shape[1], 2, self.heads, -1)
            k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q * self.scale @ k.transpose(-2, -1)).softmax(-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(B, N, C))


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int, cross: bool) -> None:
        super().__init__()
        if cross:
            self.cross_norm1, self.cross_norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
            self.cross_attn = PlainAttention(width, heads, True)
        self.norm1, self.attn = nn.LayerNorm(width, 1e-6), PlainAttention(width, heads, False)
        self.norm2 = nn.LayerNorm(width, 1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if context is not None:
            x = x + self.cross_attn(self.cross_norm1(x), self.cross_norm2(context))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class PlainEncoder(nn.Module):
    def __init__(self, stream: ModalityConfig, conv: nn.Module, tokens: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": conv})
        self.register_buffer("pos", sincos_table(tokens, stream.width), persistent=False)
        self.blocks = nn.ModuleList(PlainBlock(stream.width, stream.heads, False) for _ in range(stream.depth))
        self.norm = nn.LayerNorm(stream.width, 1e-6)

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2) + self.pos
        x = x[~mask].reshape(len(x), -1, x.shape[-1])
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(self.norm(x))
        return features


class PlainDecoder(nn.Module):
    pos: Tensor  # (tokens, width) fixed positions, not in the state dict

    def __init__(self, stream: ModalityConfig, skips: int, tokens: int, values: int) -> None:
        super().__init__()
        width, heads = stream.decoder_width, stream.decoder_heads
        self.blocks = nn.ModuleList(PlainBlock(width, heads, n > 0) for n in range(skips + 1))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, values)
        self.register_buffer("pos", sincos_table(tokens, width), persistent=False)

    def forward(self, x: Tensor, skips: list[Tensor], mask: Tensor, mask_token: Tensor) -> Tensor:
        pos = self.pos[None].expand(len(x), -1, -1)
        visible = pos[~mask].reshape(len(x), -1, x.shape[-1])
        masked = pos[mask].reshape(len(x), -1, x.shape[-1])
        x = torch.cat((x + visible, mask_token + masked), 1)
        x = self.blocks[0](x)
        for block, skip in zip(list(self.blocks)[1:], reversed(skips), strict=True):
            x = block(x, skip + visible)
        return self.head(self.norm(x[:, -masked.shape[1] :]))


class PlainFusion(nn.Module):
    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.blocks, self.blocks_audio = (
            nn.ModuleList(PlainBlock(width, config.fusion_heads, True) for _ in range(config.fusion_depth))
            for _ in range(2)
        )
        self.norm, self.norm_audio = (nn.LayerNorm(width, 1e-6) for _ in range(2))


class PlainHiCMAE(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, geometry, width = config, config.geometry, config.video.width
        tube, p, m = geometry.tube_frames, geometry.patch_px, geometry.mel_patch
        conv = nn.Conv3d(3, width, (tube, p, p), (tube, p, p))
        self.encoder = PlainEncoder(config.video, conv, geometry.video_tokens)
        self.encoder_audio = PlainEncoder(config.audio, nn.Conv2d(1, width, m, m), geometry.audio_tokens)
        skips = len(config.skips)
        self.decoder = PlainDecoder(config.video, skips, geometry.video_tokens, geometry.video_values)
        self.decoder_audio = PlainDecoder(config.audio, skips, geometry.audio_tokens, geometry.audio_values)
        self.encoder_to_decoder = nn.Linear(width, config.video.decoder_width, bias=False)
        self.encoder_to_decoder_audio = nn.Linear(width, config.audio.decoder_width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.video.decoder_width))
        self.mask_token_audio = nn.Parameter(torch.zeros(1, 1, config.audio.decoder_width))
        self.encoder_fusion = PlainFusion(config, width)

    def forward(self, video: Tensor, audio: Tensor, mask: Tensor, mask_audio: Tensor) -> Tensor:
        """Return the total loss. Masks are boolean; True marks a masked token."""
        config = self.config
        v_all, a_all = self.encoder(video, mask), self.encoder_audio(audio, mask_audio)
        v_skips, a_skips = ([features[i] for i in config.skips] for features in (v_all, a_all))
        contrast = torch.zeros((), device=video.device)
        for v, a in zip(v_skips, a_skips, strict=True):
            scores = F.normalize(v.mean(1), dim=-1) @ F.normalize(a.mean(1), dim=-1).T / config.temperature
            targets = torch.arange(len(v))
            contrast = contrast + (F.cross_entropy(scores, targets) + F.cross_entropy(scores.T, targets)) / 2
        v, a = v_all[-1], a_all[-1]
        for video_block, audio_block in zip(self.encoder_fusion.blocks, self.encoder_fusion.blocks_audio, strict=True):
            v, a = video_block(v, a), audio_block(a, v)
        v, a = self.encoder_fusion.norm(v), self.encoder_fusion.norm_audio(a)
        down, down_a = self.encoder_to_decoder, self.encoder_to_decoder_audio
        out = self.decoder(down(v), [down(s) for s in v_skips], mask, self.mask_token)
        out_a = self.decoder_audio(down_a(a), [down_a(s) for s in a_skips], mask_audio, self.mask_token_audio)
        target, target_a = self._targets(video, audio)
        error = F.mse_loss(out, target[mask].reshape(out.shape))
        error_a = F.mse_loss(out_a, target_a[mask_audio].reshape(out_a.shape))
        return error + error_a + config.contrastive_weight * contrast

    @torch.no_grad()
    def _targets(self, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        geometry = self.config.geometry
        std, mean = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (IMAGE_STD, IMAGE_MEAN))
        (t, h, w), u, p = geometry.video_grid, geometry.tube_frames, geometry.patch_px
        cubes = (video * std + mean).reshape(-1, 3, t, u, h, p, w, p).permute(0, 2, 4, 6, 3, 5, 7, 1)
        cubes = cubes.reshape(len(video), t * h * w, u * p * p, 3)
        cubes = (cubes - cubes.mean(2, keepdim=True)) / (cubes.var(2, keepdim=True).sqrt() + 1e-6)
        frames = cubes.reshape(len(video), t * h * w, u, p * p, 3)
        frames = torch.stack((frames[:, :, 0], frames[:, :, 1] - frames[:, :, 0]), 2)
        (m, f), q = geometry.audio_grid, geometry.mel_patch
        sound = audio.reshape(-1, m, q, f, q).permute(0, 1, 3, 2, 4).reshape(len(audio), m * f, q * q)
        sound = (sound - sound.mean(-1, keepdim=True)) / (sound.var(-1, keepdim=True).sqrt() + 1e-6)
        return frames.reshape(len(video), t * h * w, -1), sound
