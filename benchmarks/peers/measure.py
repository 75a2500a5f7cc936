"""mosaicml-streaming and litdata beside our stream, in one process with the peers' environment.

    python measure.py FOLDER > answer.json

FOLDER/ours holds our shards, FOLDER/windows.json what to read: [[clip number, first frame], ...]. The peers get the
same files in their own format, written here, and give the same tensors: planes of 16 frames and int16 sound.
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
from avf_training.data.decode import StoredAudio, decode_planes
from avf_training.data.reader import ClipReader
from avf_training.data.storage import StorageConfig

ROUNDS = 7
Sample = dict[str, Any]


def usual(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """What users of these libraries write: PyAV up to the window's end, soundfile."""
    start, found = sample["start"], []
    with av.open(io.BytesIO(sample["mp4"])) as container:
        container.streams.video[0].thread_count = 1
        for n, frame in enumerate(container.decode(video=0)):
            if n >= start and (n - start) % 4 == 0:
                found.append(frame.to_ndarray())
            if len(found) == 16:
                break
    heard, _ = soundfile.read(io.BytesIO(sample["flac"]), 64 * 640, start * 640, dtype="int16")
    return torch.from_numpy(np.stack(found)), torch.from_numpy(heard)


def with_ours(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """The same tensors by our decoder."""
    start = sample["start"]
    picture = decode_planes(sample["mp4"], range(start, start + 64, 4))
    return torch.from_numpy(picture), torch.from_numpy(StoredAudio(sample["flac"]).read(start, 64))


def main(folder: Path) -> None:
    """Print {name: median CPU milliseconds a clip}."""
    torch.set_num_threads(1)
    windows = json.loads((folder / "windows.json").read_text())
    reader = ClipReader(folder / "ours", StorageConfig(), load_corpus(folder / "ours"))
    samples = [{**reader.read(clip), "start": start} for clip, start in windows]
    write_mds(folder / "mds", samples)
    litdata.optimize(fn=_same, inputs=samples, output_dir=str(folder / "lit"), chunk_bytes="64MB", num_workers=1)
    mds = streaming.StreamingDataset(local=str(folder / "mds"), shuffle=False, batch_size=1)
    lit = litdata.StreamingDataset(str(folder / "lit"), shuffle=False)
    ours = [(clip, start) for clip, start in windows]

    def by_ours() -> None:
        for clip, start in ours:
            with_ours({**reader.read(clip), "start": start})

    def over(dataset: Iterable[Sample], decode: Callable[[Sample], object]) -> Callable[[], None]:
        def work() -> None:
            count = 0
            for sample in dataset:
                decode(sample)
                count += 1
            assert count == len(windows), f"{count} of {len(windows)} clips came"

        return work

    for mine, theirs in ((mds, samples), (lit, samples)):
        for sample, wanted in zip(mine, theirs, strict=True):
            for made, ideal in zip(usual(sample), with_ours(wanted), strict=True):
                assert torch.equal(made, ideal), "the peers must give the same tensors"
    works = {
        "ours": by_ours,
        "mosaicml-streaming, decoded the usual way": over(mds, usual),
        "litdata, decoded the usual way": over(lit, usual),
        "mosaicml-streaming, with our decoder": over(mds, with_ours),
        "litdata, with our decoder": over(lit, with_ours),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(1000 * (time.process_time() - start) / len(windows))
    json.dump({name: statistics.median(mine) for name, mine in times.items()}, sys.stdout)


def write_mds(folder: Path, samples: list[Sample]) -> None:
    """The samples as MDS shards."""
    columns = {"mp4": "bytes", "flac": "bytes", "start": "int"}
    with streaming.MDSWriter(out=str(folder), columns=columns) as out:
        for sample in samples:
            out.write(sample)


def _same(sample: Sample) -> Sample:
    return sample


if __name__ == "__main__":
    main(Path(sys.argv[1]))
