"""The step of Slurm's srun that started this process: its tasks, and where the first of them listens."""

import os
import re
from dataclasses import dataclass

from avf_shards.errors import UserError

_FIRST_PORT, _PORTS = 20_000, 10_000  # below those that Linux gives to connections
_RAY = "RAY_RAYLET_PID"  # set by Ray for its workers, which are no tasks of the step that started Ray


@dataclass(frozen=True, kw_only=True)
class SlurmStep:
    """A step of srun, seen from one of its tasks."""

    tasks: int  # of the step, on all nodes
    task: int  # number of this one
    task_of_node: int  # number of this one among those of its node


def slurm_step() -> SlurmStep | None:
    """Return the step that this process is a task of, or None where srun did not start it.

    In a batch script Slurm sets SLURM_PROCID too; srun alone sets SLURM_STEP_ID. Raises UserError for values that are
    not whole numbers or do not fit each other.
    """
    if not {"SLURM_STEP_ID", "SLURM_PROCID"} <= os.environ.keys() or _RAY in os.environ:
        return None
    tasks_name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in os.environ else "SLURM_NTASKS"
    step = SlurmStep(
        tasks=_number(tasks_name, "1"), task=_number("SLURM_PROCID", "0"), task_of_node=_number("SLURM_LOCALID", "0")
    )
    if not 0 <= step.task < step.tasks:
        raise UserError(f"SLURM_PROCID={step.task} is not one of {tasks_name}={step.tasks}")
    return step


def rendezvous_address() -> tuple[str, int]:
    """Return host and port at which the ranks of the step meet: the first node, and a port of this job's number.

    MASTER_ADDR and MASTER_PORT replace them where they are set. Raises UserError where the step names no node.
    """
    names = ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST")
    nodes = next((text for name in names if (text := os.environ.get(name))), "")
    host = os.environ.get("MASTER_ADDR") or first_host(nodes)
    if not host:
        raise UserError(f"none of {', '.join(names)} names a node; set MASTER_ADDR to the node of the first task")
    own_port = _FIRST_PORT + (_number("SLURM_JOB_ID", "0") + 101 * _number("SLURM_STEP_ID", "0")) % _PORTS
    return host, _number("MASTER_PORT", str(own_port))


def first_host(nodes: str) -> str:
    """Return the first host of a list as Slurm writes it: `gpu[01-03,07],login` begins with gpu01."""
    first = re.match(r"(?:[^,\[\]]|\[[^\]]*\])*", nodes)
    name = first[0] if first else ""
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", name).strip()


def _number(name: str, default: str) -> int:
    text = os.environ.get(name, default)
    if not text.isascii() or not text.isdigit():
        raise UserError(f"{name}={text!r}: must be a whole number")
    return int(text)
