"""Curate raw talking-face video: a verdict for every second of input, and clips in training-ready shards.

The Python API of what the command `avf-curate run` does:

    import avf_curation

    run = avf_curation.run({"interviews": "interviews"}, out="run", recipe={"sync": {"min_confidence": 4}})
    print(run)  # kept, rejected and failed, as `avf-curate audit` prints it
    keys = [clip.key for clip in run.clips()]
    shards = run.pack("shards")

`curate` is the same with every option of a cluster. The names are imported when they are first used, because some of
them need packages that take a second to import.
"""

from typing import TYPE_CHECKING

from avf_shards import import_at_first_use

if TYPE_CHECKING:
    from avf_curation.api import CuratedClip, CurationRun, run
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
    "CuratedClip",
    "CurationRun",
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
    "run",
    "run_status",
]

_MODULES = {
    "BackendSelection": "detectors.detector_set",
    "ClusterConfig": "execution.cluster",
    "CuratedClip": "api",
    "CurationRun": "api",
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
    "run": "api",
    "run_status": "runs.status",
}


__getattr__ = import_at_first_use(__name__, _MODULES)
