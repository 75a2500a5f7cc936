"""Metrics of a run for Ray's dashboard and Prometheus: units, spans, seconds of video and seconds per stage."""

from avf_shards.timeline import FRAMES_PER_SECOND
from ray.util.metrics import Counter

from avf_curation.pipeline.unit_job import UnitReport


class UnitMetrics:
    """Counters of one worker. Ray exports them as ray_avf_..., labelled with the node and the worker."""

    def __init__(self) -> None:
        self._units = Counter("avf_units_total", "Units committed.")
        self._videos = Counter("avf_videos_total", "Inputs decided.")
        self._spans = Counter("avf_spans_total", "Spans decided, by status.", tag_keys=("status",))
        self._video_seconds = Counter("avf_video_seconds_total", "Seconds of input decided.")
        self._stage_seconds = Counter("avf_stage_seconds_total", "Seconds of work, by stage.", tag_keys=("stage",))

    def count(self, report: UnitReport) -> UnitReport:
        """Count a finished unit and return its report."""
        # Ray's counters refuse an increment of zero.
        self._units.inc()
        for status, spans in (("kept", report.kept), ("rejected", report.rejected), ("failed", report.failed)):
            if spans:
                self._spans.inc(spans, {"status": status})
        if report.videos:
            self._videos.inc(report.videos)
        if report.frames:
            self._video_seconds.inc(report.frames / FRAMES_PER_SECOND)
        for stage, seconds in report.stage_seconds.items():
            if seconds > 0:
                self._stage_seconds.inc(seconds, {"stage": stage})
        return report
