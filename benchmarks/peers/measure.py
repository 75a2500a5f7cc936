"""Measure mosaicml-streaming, litdata and our stream in one process, with the peers' environment.

    python measure.py FOLDER > result.json

FOLDER/ours holds our shards, FOLDER/windows.json lists the windows to read: [[clip number, first frame], ...]. The peers get the
same files in their own format, which this script writes, and give the same tensors: planes of 16 frames and int16 sound.
"""

import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import litdata
import numpy as np
import soundfile
import streaming
import torch
from avf_shards.format.corpus import load_corpus
from avf_shards.timeline import SAMPLES_PER_FRAME
from avf_training.data.decode import StoredAudio, decode_planes
from avf_training.data.reader import ClipReader
from avf_training.data.storage import StorageConfig

ROUNDS = 7
Sample = dict[str, Any]


def decode_as_usual(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode as users of these libraries do: PyAV up to the window's end, and soundfile."""
    start, frames = sample["start"], []
    with av.open(io.BytesIO(sample["mp4"]), "r") as container:
        container.streams.video[0].thread_count = 1
        for n, frame in enumerate(container.decode(video=0)):
            if n >= start and (n - start) % 4 == 0:
                frames.append(frame.to_ndarray())
            if len(frames) == 16:
                break
    samples, _ = soundfile.read(
        io.BytesIO(sample["flac"]), 64 * SAMPLES_PER_FRAME, start * SAMPLES_PER_FRAME, dtype="int16"
    )
    return torch.from_numpy(np.stack(frames)), torch.from_numpy(samples)


def decode_with_ours(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode the same tensors with our decoder."""
    start = sample["start"]
    planes = decode_planes(sample["mp4"], range(start, start + 64, 4))
    return torch.from_numpy(planes), torch.from_numpy(StoredAudio(sample["flac"]).read(start, 64))


def main(folder: Path) -> None:
    """Print the median CPU milliseconds of a clip by library, as JSON."""
    torch.set_num_threads(1)
    windows = json.loads((folder / "windows.json").read_text())
    reader = ClipReader(folder / "ours", StorageConfig(), load_corpus(folder / "ours"))
    samples = [{**reader.read(clip), "start": start} for clip, start in windows]
    write_mds(folder / "mds", samples)
    litdata.optimize(fn=_identity, inputs=samples, output_dir=str(folder / "lit"), chunk_bytes="64MB", num_workers=1)
    mds = streaming.StreamingDataset(local=str(folder / "mds"), shuffle=False, batch_size=1)
    lit = litdata.StreamingDataset(str(folder / "lit"), shuffle=False)

    def by_ours() -> None:
        for clip, start in windows:
            decode_with_ours({**reader.read(clip), "start": start})

    def over(dataset: Iterable[Sample], decode: Callable[[Sample], object]) -> Callable[[], None]:
        def work() -> None:
            count = 0
            for sample in dataset:
                decode(sample)
                count += 1
            assert count == len(windows), f"{count} of {len(windows)} clips were read"

        return work

    for dataset in (mds, lit):
        for sample, original in zip(dataset, samples, strict=True):
            for tensor, expected in zip(decode_as_usual(sample), decode_with_ours(original), strict=True):
                assert torch.equal(tensor, expected), "the peers must give the same tensors"
    works = {
        "ours": by_ours,
        "mosaicml-streaming, decoded the usual way": over(mds, decode_as_usual),
        "litdata, decoded the usual way": over(lit, decode_as_usual),
        "mosaicml-streaming, with our decoder": over(mds, decode_with_ours),
        "litdata, with our decoder": over(lit, decode_with_ours),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(1000 * (time.process_time() - start) / len(windows))
    json.dump({name: statistics.median(cpu_ms) for name, cpu_ms in times.items()}, sys.stdout)


def write_mds(folder: Path, samples: list[Sample]) -> None:
    """Write the samples as MDS shards."""
    columns = {"mp4": "bytes", "flac": "bytes", "start": "int"}
    with streaming.MDSWriter(out=str(folder), columns=columns) as out:
        for sample in samples:
            out.write(sample)


def _identity(sample: Sample) -> Sample:
    return sample


if __name__ == "__main__":
    main(Path(sys.argv[1]))
