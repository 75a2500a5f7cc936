"""Compare curation and the stream of clips in an object store with those on a disk; the store is a server of this machine."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from avf_curation.demo.corpus import write_corpus

from benchmarks.table import Section, medians
from benchmarks.talkers import encode_stored_clip, write_shards

ROUNDS = 3
CLIPS, BATCH = 64, 32
NOTE = (
    "Eight generated videos of 8 to 10 s, one a unit, curated inline with the default detectors; sources and run on the disk, then both at "
    f"s3://, in turn, medians of {ROUNDS} rounds of the whole work after imports. The server, moto, runs beside it on the second core: what a "
    "request takes in a network is not in these figures, and with it more workers than cores keep the cores busy. Requests are those of one run."
)
STREAM_NOTE = (
    f"{CLIPS} clips in batches of {BATCH}, decoded by one process with no cache; 16 requests at a time at the store, none ahead on the disk. "
    "moto answers one request at a time and is what bounds this."
)
_RUN = """
import json, sys, time
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.detectors.detector_set import BackendSelection, resolve_backends
from avf_curation.detectors.weights import default_weights_folder
from avf_curation.sources.stored_inputs import is_read_by_unit
from avf_shards.stores.opening import open_location
import avf_curation.execution.inline_runner, avf_shards.stores.fsspec_store
source, out = sys.argv[1:]
recipe = load_recipe(None, ["plan.unit_videos=1"])
backends = resolve_backends(recipe, default_weights_folder())
start = time.perf_counter()
run = curate(recipe, backends, {"s": open_location(source, is_read_by_unit)}, open_location(out), RunOptions(engine="inline"))
print(json.dumps([time.perf_counter() - start, sum(run.unit_manifest(0, unit).counts["kept"] for unit in run.finished_units(0))]))
"""


def run() -> list[Section]:
    from support.store_server import serve_store  # of the tests, whose folder `benchmarks` adds to the path

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _make_source(folder)
        with serve_store(folder / "server", "bucket") as server:
            os.environ.update(server.environment | {"AVF_FOUNDRY_MIRRORS": str(folder / "mirrors")})
            from avf_shards.stores.fsspec_store import FsspecStore

            store = FsspecStore("s3://bucket/videos")
            for path in source.iterdir():
                store.write_from_file(path.name, path)
            disk_s, store_s = [], []
            requests: Counter[str] = Counter()
            for number in range(ROUNDS):
                disk_s.append(_curate(str(source), str(folder / f"run-{number}"))[0])
                shutil.rmtree(folder / "mirrors", ignore_errors=True)
                server.take_requests()
                seconds, clips = _curate("s3://bucket/videos", f"s3://bucket/run-{number}")
                store_s.append(seconds)
                requests = server.take_requests()
            stream_rows = _stream(folder, server.environment)
    disk, stored = statistics.median(disk_s), statistics.median(store_s)
    videos = 8
    rows = [
        ["", "disk", "store", "store against disk", "target"],
        [
            "curation, wall s a video",
            f"{disk / videos:.2f}",
            f"{stored / videos:.2f}",
            f"{disk / stored:.2f} of its speed",
            "0.9",
        ],
        ["requests a clip", "", f"{requests.total() / clips:.1f}", _by_method(requests, clips), ""],
        ["requests a unit", "", f"{requests.total() / videos:.1f}", _by_method(requests, videos), ""],
    ]
    return [
        Section("Curation in an object store", NOTE, rows),
        Section("Stream from an object store", STREAM_NOTE, stream_rows),
    ]


def _make_source(folder: Path) -> Path:
    write_corpus(folder / "corpus")
    source = folder / "source"
    source.mkdir()
    talks = sorted((folder / "corpus/studio").glob("talk_*.mp4"))
    for number in range(8):
        os.link(talks[number % len(talks)], source / f"{number}.mp4")
    return source


def _curate(source: str, out: str) -> tuple[float, int]:
    """Return the seconds of a run in a process of its own, and its clips."""
    done = subprocess.run([sys.executable, "-c", _RUN, source, out], capture_output=True, text=True, check=True)
    seconds, clips = json.loads(done.stdout.splitlines()[-1])
    time.sleep(1)
    return seconds, clips


def _by_method(requests: Counter[str], count: int) -> str:
    return ", ".join(f"{method} {number / count:.1f}" for method, number in sorted(requests.items()))


def _stream(folder: Path, environment: dict[str, str]) -> list[list[str]]:
    from avf_shards.stores.fsspec_store import FsspecStore
    from avf_training.data.ordered_stream import StreamConfig
    from avf_training.data.pretraining_sampler import PretrainingSampler
    from avf_training.data.stream import ClipStream
    from avf_training.models.mask_sampling import paper_masks
    from avf_training.models.presets import PRESETS

    from benchmarks.stream import step_function

    model = PRESETS["avfmaepp_b"]
    sampler = PretrainingSampler(model, paper_masks(model))
    shards = write_shards(folder / "shards", [encode_stored_clip(number) for number in range(CLIPS)])
    store = FsspecStore("s3://bucket/shards")
    for path in Path(shards).iterdir():
        store.write_from_file(path.name, path)
    streams = [
        ClipStream(StreamConfig(shards=location, batch=BATCH), sampler) for location in (shards, "s3://bucket/shards")
    ]
    disk_s, store_s = medians([step_function(stream) for stream in streams], time.perf_counter, 5)
    return [
        ["", "disk", "store", "store against disk"],
        ["clips/s", f"{BATCH / disk_s:.0f}", f"{BATCH / store_s:.0f}", f"{disk_s / store_s:.2f}"],
    ]
