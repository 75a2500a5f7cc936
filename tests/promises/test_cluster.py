"""Three Ray nodes on one machine: nodes die and join during a run, two pools share the work, bytes are equal."""

import functools
import logging
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import read_events
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.progress import Progress
from avf_curation.sources.types import Video
from ray.cluster_utils import Cluster as RayCluster
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.demo_files import DemoFiles
from support.ray_runs import QUICK_SETTINGS, copy_demo_videos
from support.runs import make_inputs
from support.stages import single_step
from support.trees import result_digests
from support.waiting import wait_until

NODES = 2  # of two CPUs each, beside the head
UNITS = 36
UNITS_BEFORE_LOSS = (6, 16)  # committed units when the test kills a node
_WAIT_S = 400  # on a busy machine the workers of the pool alone take a minute to start


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayCluster]:
    """A head without CPUs, which no test kills, and two nodes of two CPUs."""
    cluster = RayCluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "num_gpus": 0, "object_store_memory": 100_000_000, "include_dashboard": False},
    )
    for _ in range(NODES):
        add_node(cluster)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def add_node(cluster: RayCluster) -> object:
    return cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=100_000_000)


def curate_after_losses(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Curate like `stub_curate`, but hold later videos back until the test has killed a node."""
    for number, units in enumerate(UNITS_BEFORE_LOSS):
        if int(Path(video.path).stem) >= units:
            wait_until((root.parent / f"lost-{number}").exists, f"the loss of a node after {units} units", _WAIT_S)
    return stub_curate(video, root, settings, tools)


def kill_nodes(cluster: RayCluster, log_folder: Path) -> None:
    """Kill a node after each of `UNITS_BEFORE_LOSS`, one with a unit in flight on it, and let later videos go on."""
    for number, units in enumerate(UNITS_BEFORE_LOSS):
        node_id = wait_until(
            functools.partial(node_of_held_unit, log_folder, units), f"a node that works after {units} units", _WAIT_S
        )
        busy = next(node for node in cluster.worker_nodes if node.node_id == node_id)
        cluster.remove_node(busy, allow_graceful=False)
        (log_folder.parent.parent / f"lost-{number}").touch()


def node_of_held_unit(log_folder: Path, units: int) -> str | None:
    """Return the node of a unit that waits for the loss, once all `units` before it are done."""
    events = read_events(log_folder)
    done = {event["unit"] for event in events if event["name"] == "unit_done"}
    held = [event for event in events if event["name"] == "unit_started" and event["unit"] not in done]
    if len(done) < units or not held:
        return None
    return str(held[-1]["node"])


def curate_after_gpu_is_full(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Curate like `stub_curate`, but only after the test has seen a whole GPU in use."""
    wait_until((root.parent / "gpu-is-full").exists, "a whole GPU in use")
    return stub_curate(video, root, settings, tools)


@pytest.mark.slow
def test_a_run_survives_nodes_that_die_and_join(nodes: RayCluster, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "in", UNITS)
    settings = make_recipe("plan.unit_videos=1")
    expected = result_digests(
        curate(
            settings,
            EMBEDDED,
            {"s": inputs},
            tmp_path / "a",
            RunOptions(engine="inline", stages=single_step(stub_curate)),
        ).root
    )
    root = tmp_path / "b"

    def add_lost_node(progress: Progress) -> None:
        # Ray starts nodes in the main thread alone; progress is reported from another one too.
        if threading.current_thread() is threading.main_thread() and len(nodes.worker_nodes) < NODES:
            add_node(nodes)

    killer = threading.Thread(target=kill_nodes, args=(nodes, root / "log"))
    killer.start()
    try:
        run = curate(
            settings,
            EMBEDDED,
            {"s": inputs},
            root,
            RunOptions(engine="ray", cluster=ClusterConfig(workers=3), stages=single_step(curate_after_losses)),
            on_progress=add_lost_node,
        )
    finally:
        killer.join()
    assert result_digests(run.root) == expected
    events = read_events(run.log_folder)
    started = [event["unit"] for event in events if event["name"] == "unit_started"]
    assert {event["unit"] for event in events if event["name"] == "unit_done"} == set(range(UNITS))
    assert len(started) - UNITS <= 2 * 3, "each death repeats what was in flight, no more"
    assert not [event for event in events if event["name"] == "worker_died"], (
        "a node's death is not held against a unit"
    )
    lost = {event["node"] for event in events if event["name"] == "node_lost"}
    assert len(lost) == len(UNITS_BEFORE_LOSS)
    assert len(nodes.worker_nodes) == NODES


@pytest.mark.slow
def test_screening_and_refining_on_separate_pools_give_the_same_bytes(
    nodes: RayCluster, corpus: DemoFiles, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    copy_demo_videos(corpus, source)
    settings = make_recipe(*QUICK_SETTINGS)
    inline_run = curate(settings, EMBEDDED, {"s": source}, tmp_path / "inline", RunOptions(engine="inline"))
    cluster = ClusterConfig(workers=2, refiners=1)
    split_run = curate(settings, EMBEDDED, {"s": source}, tmp_path / "split", RunOptions(engine="ray", cluster=cluster))
    assert result_digests(split_run.root) == result_digests(inline_run.root)
    pools = [event["pool"] for event in read_events(split_run.log_folder) if event["name"] == "unit_started"]
    assert sorted(pools) == ["refining"] * 4 + ["screening"] * 4


@pytest.mark.slow
def test_refiners_request_their_share_of_a_gpu(nodes: RayCluster, tmp_path: Path) -> None:
    """Two refiners of half a GPU each share the GPU of one node. No GPU is real: a stub does the work."""
    inputs = make_inputs(tmp_path / "in", 6)
    gpus_in_use: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            total, free = ray.cluster_resources().get("GPU", 0), ray.available_resources().get("GPU", 0)
            gpus_in_use.append(total - free)
            if gpus_in_use[-1] == 1.0:
                (tmp_path / "gpu-is-full").touch()

    watcher = threading.Thread(target=watch)
    watcher.start()
    cluster = ClusterConfig(workers=1, refiners=2, gpus_per_worker=0.5)
    try:
        curate(
            make_recipe("plan.unit_videos=1"),
            EMBEDDED,
            {"s": inputs},
            tmp_path / "run",
            RunOptions(engine="ray", cluster=cluster, device="cuda", stages=single_step(curate_after_gpu_is_full)),
        )
    finally:
        stop.set()
        watcher.join()
    assert max(gpus_in_use) == 1.0


@pytest.mark.slow
def test_prometheus_receives_the_time_of_each_stage(nodes: RayCluster, corpus: DemoFiles, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    copy_demo_videos(corpus, source)
    curate(
        make_recipe(*QUICK_SETTINGS),
        EMBEDDED,
        {"s": source},
        tmp_path / "run",
        RunOptions(engine="ray", cluster=ClusterConfig(workers=1)),
    )
    names = {
        "ray_avf_units_total",
        "ray_avf_spans_total",
        "ray_avf_stage_seconds_total",
        "ray_avf_video_seconds_total",
    }

    def all_exported() -> str:
        text = "".join(exported_metrics(node) for node in ray.nodes() if node["Alive"])
        return text if all(name in text for name in names) else ""

    metrics = wait_until(all_exported, f"{', '.join(sorted(names))} at the nodes' metrics ports")
    assert 'stage="track"' in metrics
    assert 'status="kept"' in metrics


def exported_metrics(node: dict[str, object]) -> str:
    """What Prometheus would scrape of a node."""
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
