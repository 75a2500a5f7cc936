"""Promise: the sbatch files save before the limit of the job, queue it again and go on to the same end."""

import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from avf_curation.cli.main import build_parser as curate_parser
from avf_curation.runs.curation import RunOptions, curate
from avf_training.cli.main import build_parser as train_parser
from avf_training.trainer.checkpoint import Checkpoints
from support.clips import make_flashing_shards
from support.curation_runs import EMBEDDED, make_recipe
from support.demo_files import DemoFiles
from support.fake_slurm import JOB, FakeSlurm
from support.ray_runs import QUICK_SETTINGS, copy_demo_videos
from support.training_runs import SHALLOW, pretrain_command, read_metrics, wait_for_lines
from support.trees import result_digests
from support.waiting import wait_until

FILES = Path(__file__).parents[2] / "slurm"
JOB_PORT = 20_000 + JOB % 10_000
SETTINGS = ("steps=40", "batch=8", "micro_batch=4", "checkpoint_every=100000", "log_every=1")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("slurm"), {"a": 14})


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_each_file_is_a_script_whose_example_parses(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0
    text = path.read_text()
    assert re.search(r"^#SBATCH .*--requeue .*--signal=B:USR1@\d+$", text, re.MULTILINE), "before the first command"
    (example,) = re.findall(rf"^#   sbatch slurm/{path.name} (.+)$", text, re.MULTILINE)
    if path.name == "curate.sbatch":
        curate_parser().parse_args(["run", *example.split()])
    else:
        train_parser().parse_args(example.split())


def words_of(shards: Path, out: Path, *settings: str) -> list[str]:
    """Return the words after avf-train of a short run."""
    return pretrain_command(shards, out, SHALLOW, *settings)[2:]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "per_node"), [("pretrain.sbatch", 2), ("pretrain-torchrun.sbatch", 1)])
def test_training_saves_before_the_limit_queues_again_and_ends_with_the_same_curve(
    name: str, per_node: int, shards: Path, tmp_path: Path
) -> None:
    slurm = FakeSlurm(tmp_path / "slurm", tasks=2, tasks_per_node=per_node)
    out = tmp_path / "run"
    job = slurm.start(FILES / name, *words_of(shards, out, *SETTINGS))
    wait_for_lines(job, out, 3)
    slurm.warn(job)
    output = job.communicate(timeout=300)[0]
    assert slurm.requeued == [str(JOB)], output
    (reached,) = Checkpoints(out, 9, 0).steps()
    assert 3 <= reached < 40
    assert f"a signal stopped the run at step {reached}; it is saved" in output

    job = slurm.start(FILES / name, *words_of(shards, out, *SETTINGS))
    output = job.communicate(timeout=400)[0]
    assert job.returncode == 0, output
    assert slurm.requeued == [str(JOB)], "a run that is finished is not queued again"
    undisturbed = slurm.start(FILES / name, *words_of(shards, tmp_path / "straight", *SETTINGS))
    output = undisturbed.communicate(timeout=400)[0]
    assert undisturbed.returncode == 0, output
    assert read_metrics(out) == read_metrics(tmp_path / "straight")
    assert len(read_metrics(out)) == 40


@pytest.mark.slow
def test_a_job_that_fails_is_not_queued_again(shards: Path, tmp_path: Path) -> None:
    slurm = FakeSlurm(tmp_path / "slurm", tasks=2, tasks_per_node=2)
    job = slurm.start(FILES / "pretrain.sbatch", *words_of(shards, tmp_path / "run", "batch=7"))
    output = job.communicate(timeout=200)[0]
    assert job.returncode == 2, output
    assert not slurm.requeued
    assert not (tmp_path / "run").exists()
    assert job.returncode != -signal.SIGUSR1


@pytest.mark.slow
def test_curation_on_ray_stops_before_the_limit_queues_again_and_ends_with_the_same_bytes(
    corpus: DemoFiles, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copy_demo_videos(corpus, source)
    out = tmp_path / "run"
    settings = [word for setting in QUICK_SETTINGS for word in ("--set", setting)]
    words = ["--source", f"s={source}", "--out", str(out), *settings, "--weights", str(tmp_path / "none")]
    slurm = FakeSlurm(tmp_path / "slurm", tasks=1, tasks_per_node=1)
    job = slurm.start(FILES / "curate.sbatch", *words)
    wait_until(lambda: job.poll() is not None or (out / "run/run.json").exists(), "a plan")
    slurm.warn(job)
    output = job.communicate(timeout=200)[0]
    assert slurm.requeued == [str(JOB)], output
    assert not list((tmp_path / "slurm").glob(".avf-ray-token-*")), "a token ends with its job"

    job = slurm.start(FILES / "curate.sbatch", *words)
    output = job.communicate(timeout=140)[0]
    assert job.returncode == 0, output
    assert slurm.requeued == [str(JOB)]
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(JOB_PORT) in " ".join(process.info["cmdline"] or [])
    ], "no process of Ray is left"
    straight = curate(
        make_recipe(*QUICK_SETTINGS), EMBEDDED, {"s": source}, tmp_path / "straight", RunOptions(engine="inline")
    )
    assert result_digests(out) == result_digests(straight.root)
