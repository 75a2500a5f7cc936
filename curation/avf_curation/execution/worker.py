"""The work of one worker, the same for every engine: load the detectors once, then curate unit after unit."""

import logging
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.denylist import NOTHING_DENIED, Denylist
from avf_shards.format.run_folder import RunFolder
from avf_shards.format.run_identity import RunIdentity
from avf_shards.stores.addresses import MirroredFolder
from avf_shards.stores.opening import attach_missing_mirrors
from avf_shards.system.mirror_registry import bring, evict

from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.execution.active_units import ActiveUnitFile
from avf_curation.pipeline.added_stages import check_same_code
from avf_curation.pipeline.denials import denied_outcomes, deny_input, deny_spans
from avf_curation.pipeline.failures import OtherCodeError, StorageError, unreadable_failure
from avf_curation.pipeline.input_check import check_source_is_there, input_paths, read_all_bytes
from avf_curation.pipeline.outcomes import ScreenedVideo, SpanOutcome, VideoOutcomes, fail_video
from avf_curation.pipeline.self_test import check_tools, load_detectors
from avf_curation.pipeline.unit import DecideUnit, curate_unit, decide_unit
from avf_curation.pipeline.unit_job import UnitJob, UnitReport
from avf_curation.pipeline.video import refine_video, screen_video
from avf_curation.recipe import Recipe, SourceSettings
from avf_curation.sources.types import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PipelineStages:
    """The steps of the work on a unit. Pass other functions to `curate` to run units without measuring anything.

    The functions are sent to the workers by name, so they must be defined at the top level of an importable module.
    """

    #: finds shots and their faces
    screen: Callable[[Video, Path, SourceSettings, Detectors], ScreenedVideo] = screen_video
    refine: Callable[[ScreenedVideo, Path, SourceSettings, Detectors], VideoOutcomes] = refine_video  # encodes clips
    decide: DecideUnit = decide_unit  # decides the inputs of a unit together, and writes their records
    #: Tests the worker before its first unit; None: with a tiny clip.
    test: Callable[[Detectors, SourceSettings], None] | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """The settings, paths and functions of a worker. It is pickled and sent to the process or machine of the worker."""

    run: RunFolder  # units are committed to it
    recipe: Recipe  # settings of all sources
    backends: BackendSelection  # which detectors are loaded
    roots: dict[str, Path]  # source name -> folder of its inputs
    identity: RunIdentity  # of the run; fingerprint and backends are written with each clip
    device: str = "cpu"  # torch device of RetinaFace and SyncNet
    fail_unreadable: bool = False  # inputs that stay unreadable fail in the last try of their unit
    progress_interval_s: float = 0.0  # between two notes of a worker on the unit that it is at, at least
    stages: PipelineStages = PipelineStages()  # the functions that do the work
    denylist: Denylist = NOTHING_DENIED  # of the run: what it meets of it is rejected
    mirrors: tuple[MirroredFolder, ...] = ()  # folders of the run and its sources that stand for an object store


@dataclass(frozen=True, kw_only=True)
class ScreenedUnit:
    """The videos of a unit after screening. Contains no frames, so it can be sent to a refining worker elsewhere."""

    videos: tuple[ScreenedVideo, ...]  # one for each input of the unit
    stage_seconds: dict[str, float]  # stage -> wall-clock seconds of screening
    cpu_seconds: float  # of the process, for screening
    video_seconds: dict[str, float]  # "source/video id" -> wall-clock seconds of screening


def load_setup(data: bytes) -> WorkerSetup:
    """Unpickle a setup. Raises OtherCodeError where this machine lacks a package whose stage the run has."""
    try:
        setup = pickle.loads(data)
    except UserError as error:
        raise OtherCodeError(f"a worker cannot read the recipe of the run: {error}") from error
    assert isinstance(setup, WorkerSetup)
    return setup


class UnitWorker:
    """Curates units with detectors that stay loaded from one unit to the next."""

    def __init__(self, setup: WorkerSetup, *, tests_itself: bool = True) -> None:
        """Load the detectors. Raises InfrastructureError for other weights or stages than the run's, or a failed test.

        Args:
            tests_itself: try the libraries on a tiny clip first, which takes a tenth of a second.
        """
        self.setup = setup
        attach_missing_mirrors(setup.mirrors)
        check_same_code(setup.recipe, setup.identity)
        started_s = time.perf_counter()
        self.detectors = load_detectors(setup.backends, setup.device, setup.identity.weights)
        log.debug("loaded the detectors in %.1f s", time.perf_counter() - started_s)
        if tests_itself:
            (setup.stages.test or check_tools)(self.detectors, setup.recipe.defaults)

    def run(self, job: UnitJob) -> UnitReport:
        """Curate and commit one unit. Raises InfrastructureError."""
        self.detectors.clock.clear()
        with self._inputs(job):
            return self.commit(job, self.curate_video)

    @contextmanager
    def _inputs(self, job: UnitJob) -> Iterator[None]:
        """Bring the inputs of a unit here from an object store while the block runs, and read them once where needed.

        Each is fetched when it is opened first, and given up at the end.
        """
        paths = [path for video in job.videos for path in input_paths(video, self.setup.roots[video.source])]
        bring(paths)
        try:
            self.read_inputs_first(job)
            yield
        finally:
            evict(paths)

    def screen(self, job: UnitJob) -> ScreenedUnit:
        """Screen the videos of a unit; another worker can refine them. Raises InfrastructureError."""
        self.detectors.clock.clear()
        with self._inputs(job):
            return self._screen_all(job)

    def _screen_all(self, job: UnitJob) -> ScreenedUnit:
        started_s = time.process_time()
        with ActiveUnitFile(self.setup.run, job, self.setup.progress_interval_s) as active:
            self.detectors.clock.on_stage = active.stage_started
            video_seconds: dict[str, float] = {}
            videos = []
            for video in job.videos:
                active.video_started(video.video_id)
                with _timed(video, video_seconds):
                    try:
                        videos.append(self._screen_video(video))
                    except StorageError as error:
                        videos.append(ScreenedVideo(video=video, parts=(self._fail_unreadable(job, video, error),)))
        return ScreenedUnit(
            videos=tuple(videos),
            stage_seconds=self.detectors.clock.seconds,
            cpu_seconds=time.process_time() - started_s,
            video_seconds=video_seconds,
        )

    def refine(self, job: UnitJob, screened: ScreenedUnit) -> UnitReport:
        """Refine the videos of a screened unit and commit it. The report includes the cost of screening.

        Raises InfrastructureError.
        """
        self.detectors.clock.clear()
        screened_videos = {(item.video.source, item.video.video_id): item for item in screened.videos}
        with self._inputs(job):
            report = self.commit(job, lambda video: self._refine_video(screened_videos[video.source, video.video_id]))
        return replace(
            report,
            stage_seconds=dict(Counter(screened.stage_seconds) + Counter(report.stage_seconds)),
            cpu_seconds=screened.cpu_seconds + report.cpu_seconds,
            video_seconds=dict(Counter(screened.video_seconds) + Counter(report.video_seconds)),
        )

    def read_inputs_first(self, job: UnitJob) -> None:
        """Read all inputs of a unit that an earlier try could not finish, before anything is decoded again.

        So a unit with a file that stays unreadable is not decoded twice, and each such file is named.

        Raises StorageError.
        """
        if not job.machine_faults or job.fails_unreadable:
            return
        errors = []
        for video in job.videos:
            try:
                read_all_bytes(video, self.setup.roots[video.source])
            except StorageError as error:
                errors.append(error)
        if errors:
            message = "; ".join(dict.fromkeys(str(error) for error in errors))
            raise StorageError(message, errors[0].path, errors[0].number)

    def _fail_unreadable(self, job: UnitJob, video: Video, error: StorageError) -> SpanOutcome:
        """Return the outcome of a video whose file cannot be read. Raises `error` where the job does not allow it."""
        root = self.setup.roots[video.source]
        failure = unreadable_failure(error, input_paths(video, root)) if job.fails_unreadable else None
        if failure is None:
            raise error
        check_source_is_there(video.source, root)
        log.warning("%s/%s failed: %s", video.source, video.video_id, error)
        return fail_video(video, failure)

    def curate_video(self, video: Video) -> VideoOutcomes:
        """Screen and refine one video. Raises InfrastructureError."""
        return self._refine_video(self._screen_video(video))

    def _screen_video(self, video: Video) -> ScreenedVideo:
        setup, source = self.setup, video.source
        denied = deny_input(video, setup.roots[source], setup.denylist)
        if denied is not None:
            return denied
        return setup.stages.screen(video, setup.roots[source], setup.recipe.settings_for(source), self.detectors)

    def _refine_video(self, screened: ScreenedVideo) -> VideoOutcomes:
        setup, source = self.setup, screened.video.source
        if (denied := denied_outcomes(screened)) is not None:
            return denied
        root, settings = setup.roots[source], setup.recipe.settings_for(source)
        return deny_spans(setup.stages.refine(screened, root, settings, self.detectors), root, setup.denylist)

    def commit(self, job: UnitJob, curate_video: Callable[[Video], VideoOutcomes]) -> UnitReport:
        """Curate every video of a unit with `curate_video`, commit the unit, and report what the work took.

        Raises InfrastructureError.
        """
        started_s = time.process_time()
        video_seconds: dict[str, float] = {}
        interval_s = 0.0 if job.runs_alone else self.setup.progress_interval_s
        with ActiveUnitFile(self.setup.run, job, interval_s) as active:
            self.detectors.clock.on_stage = active.stage_started

            def curate_and_count(video: Video) -> VideoOutcomes:
                active.video_started(video.video_id)
                with _timed(video, video_seconds):
                    try:
                        outcomes = curate_video(video)
                    except StorageError as error:
                        outcomes = VideoOutcomes(video=video, outcomes=(self._fail_unreadable(job, video, error),))
                active.video_done()
                return outcomes

            setup = self.setup
            report = curate_unit(
                job, setup.run, setup.recipe, setup.identity, curate_and_count, decide=setup.stages.decide
            )
        cpu_seconds = round(time.process_time() - started_s, 4)
        return replace(
            report,
            stage_seconds=self.detectors.clock.seconds,
            cpu_seconds=cpu_seconds,
            video_seconds=video_seconds,
        )


@contextmanager
def _timed(video: Video, video_seconds: dict[str, float]) -> Iterator[None]:
    """Note the wall-clock seconds of the block for a video."""
    started_s = time.perf_counter()
    try:
        yield
    finally:
        video_seconds[f"{video.source}/{video.video_id}"] = round(time.perf_counter() - started_s, 3)
