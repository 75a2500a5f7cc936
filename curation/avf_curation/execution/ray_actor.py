"""The Ray actor that curates units.

Ray imports this module in a worker process before anything else of the project. So the module imports nothing heavy:
some libraries run programs that set the terminal, and by then the process must have left the terminal.
"""

from typing import TYPE_CHECKING

import ray

from avf_curation.detectors.terminal import detach_from_terminal

if TYPE_CHECKING:
    from avf_curation.execution.worker import ScreenedUnit
    from avf_curation.pipeline.unit_job import UnitJob, UnitReport


class UnitActor:
    """A worker in a process of Ray's, with detectors that stay loaded between units."""

    def __init__(self, setup: bytes) -> None:
        """Load the detectors. `setup` is a pickled WorkerSetup, so that Ray itself unpickles nothing before that."""
        detach_from_terminal()
        from avf_shards.cli.logging_setup import setup_worker_logging
        from avf_shards.system.arrow_start import keep_pandas_out

        from avf_curation.execution.ray_metrics import UnitMetrics
        from avf_curation.execution.worker import UnitWorker, load_setup
        from avf_curation.pipeline.failures import OtherWeightsError

        setup_worker_logging()
        keep_pandas_out()
        self._metrics = UnitMetrics()
        self._refusal: OtherWeightsError | None = None
        try:
            self._worker = UnitWorker(load_setup(setup))
        except OtherWeightsError as error:
            # Of an error in a constructor, Ray gives on the text alone, and the actor would be started once more.
            self._refusal = error

    def node(self) -> str:
        """Return the id of the node that this actor runs on. Raises OtherWeightsError where it may not work."""
        if self._refusal is not None:
            raise self._refusal
        return str(ray.get_runtime_context().get_node_id())

    def curate(self, job: "UnitJob", isolated: bool) -> "UnitReport":
        """Curate and commit a unit; `isolated` runs each video in its own child process."""
        if isolated:
            from avf_curation.execution.isolated_pictures import run_in_children

            return self._metrics.count(run_in_children(self._worker, job))
        return self._metrics.count(self._worker.run(job))

    def screen(self, job: "UnitJob") -> "ScreenedUnit":
        """Screen the videos of a unit."""
        return self._worker.screen(job)

    def refine(self, job: "UnitJob", screened: "ScreenedUnit") -> "UnitReport":
        """Refine the videos of a screened unit, and commit the unit."""
        return self._metrics.count(self._worker.refine(job, screened))
