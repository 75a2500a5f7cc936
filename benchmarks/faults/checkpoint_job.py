"""The process that saves checkpoints and is killed, and the process that loads what it left."""

import sys
from pathlib import Path

import torch
from avf_training.distributed.collectives import process_group
from avf_training.trainer.checkpoint import Checkpoints
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from benchmarks.faults.subjects import die_after


class TinyTraining:
    """A model of one weight, an optimizer with its moments, and their checkpoints."""

    def __init__(self, run: Path) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(4, 4)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.checkpoints = Checkpoints(run, keep=1, rank=0)

    def learn_and_save(self, step: int) -> None:
        """Take a step, and save a checkpoint under its number to the end."""
        self.model(torch.ones(2, 4)).square().sum().backward()
        self.optimizer.step()
        self.checkpoints.save(step, self.model, self.optimizer, {"step": step})
        self.checkpoints.wait()

    def load(self) -> int:
        """Load the newest checkpoint and return its step. Raises FaultError where it is damaged."""
        saved = self.checkpoints.newest()
        assert saved is not None
        self.checkpoints.load(saved, self.model, self.optimizer)
        assert saved.state == {"step": saved.step}
        return saved.step


def main(action: str, run: Path, number: int) -> None:
    """Save two checkpoints and be killed after a file operation of the second, or load what there is and save."""
    with process_group("cpu"):
        training = TinyTraining(run)
        if action == "save":
            training.learn_and_save(1)
            die_after(number, lambda: training.learn_and_save(2))
        else:
            weights = {step: _weights_after(step) for step in (1, 2)}
            step = training.load()
            assert torch.equal(training.model.weight, weights[step]), f"step {step} has other weights"
            training.learn_and_save(3)
            assert TinyTraining(run).load() == 3


def _weights_after(steps: int) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    return model.weight


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
