"""Runs of fine-tuning that stop at an evaluation."""

import pytest
from avf_training.finetuning.model_selection import BestCheckpointTracker


class StoppedError(Exception):
    """Stands for a machine that goes away."""


def stop_at_evaluation(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Stop the next run when it comes to its evaluation of that number, before it saves that step."""
    evaluate, calls = BestCheckpointTracker.after_epoch, []

    def evaluate_or_stop(self: BestCheckpointTracker, step: int) -> object:
        calls.append(step)
        if len(calls) == number:
            raise StoppedError
        return evaluate(self, step)

    monkeypatch.setattr(BestCheckpointTracker, "after_epoch", evaluate_or_stop)
