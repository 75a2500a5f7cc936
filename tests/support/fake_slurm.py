"""Slurm's commands as far as our sbatch files use them, on this machine: a node is a name, and a task a process.

As slurmstepd does, `srun` gives a signal to each task itself and not to the processes that a task has started, and
kills what the tasks leave behind.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

JOB = 4711
_SRUN = f"""#!{sys.executable}
import os, signal, subprocess, sys
import psutil
words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
count, per_node = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NTASKS_PER_NODE"])
tasks = []
for number in range(count):
    own = {{"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(count), "SLURM_PROCID": str(number),
            "SLURM_LOCALID": str(number % per_node), "SLURM_NODEID": str(number // per_node),
            "SLURM_STEP_NODELIST": os.environ["SLURM_JOB_NODELIST"], "FAKE_STEP": str(os.getpid())}}
    tasks.append(subprocess.Popen(words, env=os.environ | own, start_new_session=True))
def forward(received, frame):
    for task in tasks:
        if task.poll() is None:
            task.send_signal(received)
for each in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
    signal.signal(each, forward)
status = max(abs(task.wait()) for task in tasks)
for process in psutil.process_iter():
    try:
        if process.environ().get("FAKE_STEP") == str(os.getpid()):
            process.kill()
    except psutil.Error:
        pass
sys.exit(status)
"""
_SCONTROL = """#!/bin/sh
case "$1" in
    show) echo "$3" | tr , '\\n' ;;
    requeue) echo "$2" >> "$FAKE_SLURM/requeued" ;;
    *) exit 1 ;;
esac
"""


class FakeSlurm:
    """Runs an sbatch file as the first node of a job would."""

    def __init__(self, folder: Path, *, tasks: int, tasks_per_node: int) -> None:
        """Write `srun`, `scontrol` and `hostname` into `folder`/bin; every node is this machine."""
        programs = folder / "bin"
        programs.mkdir(parents=True)
        for name, text in (("srun", _SRUN), ("scontrol", _SCONTROL), ("hostname", "#!/bin/sh\necho 127.0.0.1\n")):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        nodes = tasks // tasks_per_node
        self._folder = folder
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))
        } | {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "FAKE_SLURM": str(folder),
            "OMP_NUM_THREADS": "1",
            "SLURM_JOB_ID": str(JOB),
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_JOB_NODELIST": ",".join(["127.0.0.1"] * nodes),
            "SLURM_NTASKS": str(tasks),
            "SLURM_NTASKS_PER_NODE": str(tasks_per_node),
            "SLURM_PROCID": "0",  # Slurm sets it in the batch script too
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_GPUS_ON_NODE": "1",
        }

    def start(self, script: Path, *words: str) -> "subprocess.Popen[str]":
        """Start the script; `send_signal` reaches it alone, as Slurm's B: does."""
        return subprocess.Popen(
            ["bash", str(script), *words],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def warn(self, job: "subprocess.Popen[str]") -> None:
        """Say that the time is nearly up."""
        job.send_signal(signal.SIGUSR1)

    @property
    def requeued(self) -> list[str]:
        """Job numbers that the script has put back into the queue."""
        path = self._folder / "requeued"
        return path.read_text().split() if path.exists() else []
