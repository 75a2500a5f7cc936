"""Curate raw talking-face video: a verdict for every second of input, and clips in training-ready shards.

The Python API of what the command `avf-curate run` does:

    from pathlib import Path
    from avf_curation import RunOptions, curate, load_recipe, resolve_backends

    recipe = load_recipe(None, ["sync.min_confidence=4"])
    backends = resolve_backends(recipe, Path("weights"))
    run = curate(recipe, backends, {"interviews": Path("interviews")}, Path("run"), RunOptions(engine="inline"))
    decisions = run.ledger()

The names are imported when they are first used, because some of them need packages that take a second to import.
"""

from typing import TYPE_CHECKING

from avf_shards import import_at_first_use

if TYPE_CHECKING:
    from avf_curation.console.progress_bar import clip_display
    from avf_curation.detectors.detector_set import BackendSelection, resolve_backends
    from avf_curation.execution.cluster import ClusterConfig
    from avf_curation.execution.worker import PipelineStages
    from avf_curation.pipeline.failures import InfrastructureError
    from avf_curation.recipe import Recipe, load_recipe
    from avf_curation.runs.curation import RunOptions, curate
    from avf_curation.runs.progress import Progress
    from avf_curation.runs.status import RunStatus, run_status
    from avf_curation.runs.video_clips import VideoClips, clip_videos
    from avf_curation.sources.media_names import holds_video

__all__ = [
    "BackendSelection",
    "ClusterConfig",
    "InfrastructureError",
    "PipelineStages",
    "Progress",
    "Recipe",
    "RunOptions",
    "RunStatus",
    "VideoClips",
    "clip_display",
    "clip_videos",
    "curate",
    "holds_video",
    "load_recipe",
    "resolve_backends",
    "run_status",
]

_MODULES = {
    "BackendSelection": "detectors.detector_set",
    "ClusterConfig": "execution.cluster",
    "InfrastructureError": "pipeline.failures",
    "PipelineStages": "execution.worker",
    "Progress": "runs.progress",
    "Recipe": "recipe",
    "RunOptions": "runs.curation",
    "RunStatus": "runs.status",
    "VideoClips": "runs.video_clips",
    "clip_display": "console.progress_bar",
    "clip_videos": "runs.video_clips",
    "curate": "runs.curation",
    "holds_video": "sources.media_names",
    "load_recipe": "recipe",
    "resolve_backends": "detectors.detector_set",
    "run_status": "runs.status",
}


__getattr__ = import_at_first_use(__name__, _MODULES)
