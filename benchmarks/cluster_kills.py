"""Kill workers and nodes a hundred times in one run on three Ray nodes: the bytes stay the same, and few units are repeated."""

import logging
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import ray
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import read_events
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.progress import Progress
from avf_curation.sources.types import Video
from ray.cluster_utils import Cluster as RayCluster

from benchmarks.table import Section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.runs import make_inputs
from support.stages import single_step
from support.trees import result_digests

KILLS, NODES, UNITS, WORKERS = 100, 15, 420, 3


def slow_stub(video: Video, root: Path, settings: object, detectors: object) -> VideoOutcomes:
    """Curate like `stub_curate`, but take long enough to be killed."""
    time.sleep(0.2)
    return stub_curate(video, root, settings, detectors)


def run() -> list[Section]:
    draw = random.Random(0)
    logging.getLogger("avf_curation").setLevel(logging.ERROR)
    node = {"num_cpus": 2, "object_store_memory": 100_000_000}
    head = {"num_cpus": 0, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = RayCluster(initialize_head=True, head_node_args=head)
    kills: Counter[str] = Counter()
    try:
        for _ in range(2):
            cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        with tempfile.TemporaryDirectory() as name:
            inputs = make_inputs(Path(name) / "in", UNITS)
            settings = make_recipe("plan.unit_videos=1", "run.kills=9")
            plain = curate(
                settings,
                EMBEDDED,
                {"s": inputs},
                Path(name) / "a",
                RunOptions(engine="inline", stages=single_step(stub_curate)),
            )

            def kill_sometimes(progress: Progress) -> None:
                if sum(kills.values()) >= KILLS or draw.random() > 2.5 * KILLS / UNITS:
                    return
                if kills["node"] < NODES and draw.random() < NODES / KILLS:
                    cluster.remove_node(draw.choice(sorted(cluster.worker_nodes, key=id)), allow_graceful=False)
                    cluster.add_node(**node)
                    kills["node"] += 1
                elif victims := [process for process in psutil.process_iter(["cmdline"]) if _is_worker(process)]:
                    draw.choice(victims).send_signal(signal.SIGKILL)
                    kills["worker"] += 1

            killed = curate(
                settings,
                EMBEDDED,
                {"s": inputs},
                Path(name) / "b",
                RunOptions(engine="ray", cluster=ClusterConfig(workers=WORKERS), stages=single_step(slow_stub)),
                on_progress=kill_sometimes,
            )
            same = result_digests(killed.root) == result_digests(plain.root)
            started = [event["unit"] for event in read_events(killed.log_folder) if event["name"] == "unit_started"]
    finally:
        ray.shutdown()
        cluster.shutdown()
    allowed = kills["worker"] + WORKERS * kills["node"]
    rows = [["workers killed", "nodes killed", "units", "units repeated", "allowed", "same bytes"]]
    rows.append(
        [
            str(kills["worker"]),
            str(kills["node"]),
            str(UNITS),
            str(len(started) - UNITS),
            str(allowed),
            "yes" if same else "NO",
        ]
    )
    note = (
        "Three nodes of ray.cluster_utils on one machine (one is the head, without workers), a stub for the work; SIGKILL at random moments, a new node for "
        "each that is removed. Allowed: the units in flight, one unit for a worker, all workers for a node."
    )
    return [Section("Kills on a cluster", note, rows)]


def _is_worker(process: psutil.Process) -> bool:
    return "ray::UnitActor" in " ".join(process.info["cmdline"] or ())
