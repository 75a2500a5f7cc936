"""Scores after each epoch, and the best model by them. N pictures, O outputs, K values of a label."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from avf_shards.errors import FaultError
from avf_shards.text import count_noun

from avf_training.config.finetune import SelectionProtocol
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import StreamConfig
from avf_training.distributed.collectives import decide_on_rank_0
from avf_training.distributed.context import DistributedContext
from avf_training.finetuning.model_selection import (
    EpochScores,
    end_by_validation,
    publish_best_models,
    read_validation,
    select_epoch,
    stage_best_model,
    write_validation,
)
from avf_training.framewise.pictures.labelled import LabelledPictures
from avf_training.framewise.pictures.networks import PictureNetwork
from avf_training.framewise.pictures.picture_scores import score_pictures
from avf_training.framewise.pictures.stream import LabellingSampler, PictureStream
from avf_training.models.config import Precision
from avf_training.tasks.sampling import ViewOrder

log = logging.getLogger(__name__)
_BATCH = 32  # pictures of one forward pass
PROTOCOL: SelectionProtocol = "validation"  # the only one: owners' test sets are never looked at


@dataclass(kw_only=True)
class BestPictureModel:
    """Scores a model after each epoch on the validation pictures, and keeps the best in RUN/best/validation."""

    network: PictureNetwork
    pictures: LabelledPictures
    rows: Sequence[int]  # of the pictures that are scored
    precision: Precision
    every: int  # steps between two evaluations
    epochs: int  # between two evaluations
    patience: int | None  # evaluations without a better score after which the run ends; None: it takes all steps
    out: Path
    context: DistributedContext

    def __post_init__(self) -> None:
        self._has_scored = False  # and told which pictures cannot be read
        self._early_end = end_by_validation(self.out, self.pictures.task.metric, self.patience, self.every)
        # Of an earlier start that was stopped between a row and its model.
        decide_on_rank_0(lambda: publish_best_models(self.out, (PROTOCOL,)))

    def is_over(self, step: int) -> bool:
        """Return whether the run ends before a step, because its scores have stopped to rise. Collective."""
        return self._early_end.is_over(step)

    def after_epoch(self, step: int) -> tuple[dict[str, float], Path | None]:
        """Score, append the row to RUN/validation.jsonl and keep the model where it is best. Collective.

        A step that an earlier start of the run has scored keeps its scores. Returns the task's metric, and no figure.
        """
        metric = self.pictures.task.metric
        rows = decide_on_rank_0(lambda: read_validation(self.out))
        row = next((row for row in rows if row.step == step), None)
        if row is None:
            row = EpochScores(step=step, epoch=(step + 1) // self.every * self.epochs, scores={PROTOCOL: self.score()})
            decide_on_rank_0(partial(self._keep, rows, row))
        value = row.score(PROTOCOL, metric)
        return {metric: float("nan") if value is None else value}, None

    def _keep(self, rows: list[EpochScores], row: EpochScores) -> None:
        metric = self.pictures.task.metric
        value, best = row.score(PROTOCOL, metric), select_epoch(rows, PROTOCOL, metric)
        if value is not None and (best is None or value > best[1]):
            self.network.save(stage_best_model(self.out, PROTOCOL, row.step))
            log.info("epoch %g: best %s so far, %.3f", row.epoch, metric, value)
        write_validation(self.out, (*rows, row))
        publish_best_models(self.out, (PROTOCOL,))

    def score(self) -> dict[str, float | None]:
        """Return the scores of the model as it is, on every rank. Collective.

        Raises FaultError where no picture can be read.
        """
        predictions = self._predict_share(self.rows[self.context.rank :: self.context.size])
        self._has_scored = True
        if self.context.size > 1:
            gathered: list[dict[int, list[float]]] = [{}] * self.context.size
            dist.all_gather_object(gathered, predictions)
            predictions = {row: values for part in gathered for row, values in part.items()}
        if not predictions:
            raise FaultError(f"none of {count_noun(len(self.rows), 'picture')} to score can be read")
        scored = sorted(predictions)
        predicted_NO = np.array([predictions[row] for row in scored], np.float32)
        return score_pictures(self.pictures.task, predicted_NO, self.pictures.values_NK[scored])

    @torch.no_grad()
    def _predict_share(self, rows: Sequence[int]) -> dict[int, list[float]]:
        """Return the model's outputs for whole pictures, by row; unreadable ones are left out."""
        if not rows:
            return {}
        numbers = [self.pictures.pictures[row].number for row in rows]
        config = StreamConfig(shards=".", batch=_BATCH, epochs=1, scored=True, warns=not self._has_scored)
        sampler = LabellingSampler(size_px=self.network.size_px, augment=None)
        order = ViewOrder(self.pictures.corpus, numbers, 1, _BATCH)
        stream = PictureStream(config, sampler, (order, self.pictures))
        model = self.network.module
        training = model.training
        model.eval()
        predictions: dict[int, list[float]] = {}
        for batch in StreamLoader(stream, device=self.context.device):
            faulty = {fault.position for fault in batch.faults}
            with self.precision.autocast(self.context.device.type):
                outputs_BO = model(batch.normalized())
            for position, values in enumerate(outputs_BO.float().cpu().tolist(), batch.first_position):
                if position < len(rows) and position not in faulty:  # the last picture is repeated to fill the batch
                    predictions[rows[position]] = values
        model.train(training)
        return predictions
