"""Compare our SyncNet with the authors' loop over windows, on one thread, for every window and every third; with formula weights."""

from typing import Any

import av
import numpy as np
import torch
from avf_curation.detectors.mfcc import compute_mfcc
from avf_curation.detectors.syncnet import SyncNetScorer, formula_weights
from avf_curation.media.types import Bytes, Samples
from torch import nn

from benchmarks.table import SHARED, Section, cpu_s


def run() -> list[Section]:
    path = SHARED / "assets/video/syncnet_example.avi"
    if not path.is_file():
        return [Section("SyncNet", "Not measured: the real clip is not here.", [["", ""]])]
    with av.open(str(path), "r") as container:
        frames: list[Bytes] = [
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False) for frame in container.decode(video=0)
        ]
    with av.open(str(path), "r") as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    scorer = SyncNetScorer(formula_weights())
    loop = _WindowLoop(scorer)
    theirs = cpu_s(lambda: loop.score(frames, sound), 2)
    ours = cpu_s(lambda: scorer.score(frames, sound, authors_code=True), 2)
    third = cpu_s(lambda: scorer.score(frames, sound, every=3), 2)
    rows = [
        ["", "core-seconds", "ms per lip window", "ratio", "target"],
        ["window loop, batch 20, 3-D convolutions", f"{theirs:.2f}", f"{1000 * theirs / 312:.1f}", "1", ""],
        ["ours, every window", f"{ours:.2f}", f"{1000 * ours / 312:.1f}", f"{theirs / ours:.2f}", "1.4"],
        ["ours, every third window", f"{third:.2f}", f"{1000 * third / 104:.1f}", f"{theirs / third:.2f}", "3"],
    ]
    note = (
        "12.7 s clip, 312 windows, one thread; the loop is written after the published description. Offsets and confidence "
        "at every third window cannot be compared here: that needs the authors' weights, which are not part of the project."
    )
    return [Section("SyncNet", note, rows)]


class _WindowLoop:
    """The authors' evaluation: a 3-D window for each frame, copied and stacked in batches of twenty."""

    def __init__(self, scorer: SyncNetScorer) -> None:
        self.scorer = scorer
        layers: list[nn.Module] = []
        # `Any`: the layers of the scorer are typed as plain modules.
        modules: Any = scorer.model.netcnnlip
        for module in modules:
            if hasattr(module, "weight") and module.weight.ndim == 5:
                out, inside, t, k, _ = module.weight.shape
                pad = (0, module.padding, module.padding)
                layer = nn.Conv3d(inside, out, (t, k, k), (1, module.stride, module.stride), pad)
                layer.weight, layer.bias = module.weight, module.bias
                layers.append(layer)
            elif isinstance(module, nn.BatchNorm2d):
                norm = nn.BatchNorm3d(module.num_features)
                norm.load_state_dict(module.state_dict())
                layers.append(norm)
            elif isinstance(module, nn.MaxPool2d):
                assert isinstance(module.padding, int)
                layers.append(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, module.padding, module.padding)))
            else:
                layers.append(nn.ReLU(inplace=True))
        self.lip = nn.Sequential(*layers).eval()

    @torch.no_grad()
    def score(self, frames: list[Bytes], sound: Samples) -> None:
        video = torch.from_numpy(np.stack(frames, 3)[None].transpose(0, 3, 4, 1, 2).astype(np.float32))
        video = video.permute(0, 2, 1, 3, 4) if video.shape[1] != 3 else video
        steps = torch.from_numpy(compute_mfcc(sound).T.astype(np.float32))[None, None]
        last = min(len(frames), len(sound) // 640) - 5
        for first in range(0, last, 20):
            windows = range(first, min(last, first + 20))
            lips = torch.cat([video[:, :, i : i + 5] for i in windows])
            self.scorer.model.netfclip(self.lip(lips).flatten(1))
            self.scorer.model.audio(torch.cat([steps[:, :, :, 4 * i : 4 * i + 20] for i in windows]))
