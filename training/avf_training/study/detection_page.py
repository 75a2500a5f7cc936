"""The page of a detector: OUT/detection.html, one file that needs no other, and OUT/detection.json with its numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avf_shards.pages.render import make_page_environment
from avf_shards.schema.versions import SCHEMA_VERSION, stamp
from avf_shards.system import durable_io
from avf_shards.system.own_files import PAGE, json_table, require_replaceable
from avf_shards.text import count_noun

from avf_training.evaluation.bootstrap import REPEATS
from avf_training.evaluation.roc_curve import CURVE_METRICS
from avf_training.evaluation.scoring import TimedScore
from avf_training.study.detection_numbers import DetectionReport, DetectorResult, FileLine, truth_of_clip
from avf_training.study.published_detection import printed_tables
from avf_training.tasks.labelled_shards import LabelledClip

MOST_TIMELINES = 24
_NUMBERS = json_table("the numbers of a report", ("task", "pool", "kinds", SCHEMA_VERSION))
_NAME = "detection"


@dataclass(frozen=True, kw_only=True)
class FileTimeline:
    """A file on the page, with a chart of each of its clips."""

    line: FileLine
    charts: list[Mapping[str, Any]]  # specs of Vega-Lite


def write_detection_page(result: DetectorResult, out: Path) -> Path:
    """Write the page and its numbers, and return the path of the page. Raises UserError for other files there."""
    require_replaceable(out / f"{_NAME}.json", _NUMBERS)
    require_replaceable(out / f"{_NAME}.html", PAGE)
    report, printed = result.report, printed_tables()
    environment = make_page_environment(Path(__file__).parent / "templates")
    page = environment.get_template("detection.html").render(
        report=report,
        columns=CURVE_METRICS,
        roc=_chart_roc(result),
        reliability=_chart_reliability(report),
        timelines=_draw_timelines(result),
        printed=printed.tables,
        contradictions=printed.contradictions,
        repeats=REPEATS,
        window_s=result.window_s,
    )
    durable_io.make_folder(out)
    text = json.dumps(stamp(asdict(report), "detection report"), indent=1, sort_keys=True, allow_nan=False)
    durable_io.replace_file(out / f"{_NAME}.json", (text + "\n").encode())
    durable_io.replace_file(out / f"{_NAME}.html", page.encode())
    return out / f"{_NAME}.html"


def _chart_roc(result: DetectorResult) -> dict[str, Any]:
    points = [
        {"x": round(float(x), 5), "y": round(float(y), 5)}
        for x, y in zip(result.curve.false_alarms_P, result.curve.detected_P, strict=True)
    ]
    line = {"type": "line", "strokeWidth": 2, "color": "var(--series-1)"}
    axes = {
        "x": {"field": "x", "type": "quantitative", "title": "reals called fake", "scale": {"domain": [0, 1]}},
        "y": {"field": "y", "type": "quantitative", "title": "fakes detected", "scale": {"domain": [0, 1]}},
        "order": {"field": "number", "type": "quantitative"},
    }
    chance = [{"x": 0, "y": 0, "number": 0}, {"x": 1, "y": 1, "number": 1}]
    return {
        "height": 260,
        "layer": [
            {
                "data": {"values": chance},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": "var(--soft)"},
                "encoding": axes,
            },
            {
                "data": {"values": [each | {"number": number} for number, each in enumerate(points)]},
                "mark": line,
                "encoding": axes,
            },
        ],
    }


def _chart_reliability(report: DetectionReport) -> dict[str, Any]:
    rows = [asdict(each) for each in report.bins]
    scale = {"domain": [0, 1]}
    return {
        "height": 220,
        "data": {"values": rows},
        "mark": {"type": "line", "point": True, "color": "var(--series-2)"},
        "encoding": {
            "x": {"field": "probability", "type": "quantitative", "title": "mean p(fake) of the bin", "scale": scale},
            "y": {"field": "fakes", "type": "quantitative", "title": "share of fakes", "scale": scale},
            "tooltip": [{"field": "files"}, {"field": "probability"}, {"field": "fakes"}],
        },
    }


def choose_timelines(files: Sequence[FileLine]) -> list[FileLine]:
    """Return the files to draw: fakes from the lowest to the highest score, and the reals with the highest scores."""
    fakes = sorted((line for line in files if line.fake), key=lambda line: line.score)
    reals = sorted((line for line in files if not line.fake), key=lambda line: -line.score)
    of_reals = min(len(reals), MOST_TIMELINES // 3)
    count = min(len(fakes), MOST_TIMELINES - of_reals)
    spread = [fakes[number * (len(fakes) - 1) // max(1, count - 1)] for number in range(count)]
    return [*spread, *reals[:of_reals]]


def _draw_timelines(result: DetectorResult) -> list[FileTimeline]:
    clips_of: dict[str, list[LabelledClip]] = {}
    for key in sorted(result.clips):
        clips_of.setdefault(result.clips[key].video_id, []).append(result.clips[key])
    return [
        FileTimeline(
            line=line,
            charts=[
                chart_clip(clip, result.windows[clip.key], result.window_s) for clip in clips_of.get(line.file, [])
            ],
        )
        for line in choose_timelines(result.report.files)
    ]


def chart_clip(clip: LabelledClip, windows: Sequence[TimedScore], window_s: float) -> dict[str, Any]:
    """Return the chart of a clip: its true segments as bars, and over them the score of each window."""
    forgery, stop_s = truth_of_clip(clip), clip.frames / 25
    segments = [
        {"start": each.start_s, "stop": each.stop_s, "kind": each.kind, "method": each.method or forgery.method or ""}
        for each in forgery.segments or ()
    ]
    if forgery.is_fake and forgery.segments is None:
        segments = [{"start": 0.0, "stop": stop_s, "kind": forgery.kind or "", "method": forgery.method or ""}]
    rows = [
        {
            "start": round(each.start_s, 2),
            "stop": round(min(stop_s, each.start_s + window_s), 2),
            "middle": round(min(stop_s, each.start_s + window_s) / 2 + each.start_s / 2, 2),
            "score": round(each.score, 4),
        }
        for each in windows
    ]
    seconds = {"type": "quantitative", "title": "seconds of the clip", "scale": {"domain": [0, stop_s]}}
    score = {"field": "score", "type": "quantitative", "title": "p(fake)", "scale": {"domain": [0, 1]}}
    return {
        "height": 120,
        "layer": [
            {
                "data": {"values": segments},
                "mark": {"type": "rect", "opacity": 0.3, "color": "var(--rejected)"},
                "encoding": {
                    "x": {"field": "start", **seconds},
                    "x2": {"field": "stop"},
                    "tooltip": [{"field": "kind"}, {"field": "method"}, {"field": "start"}, {"field": "stop"}],
                },
            },
            {
                "data": {"values": rows},
                "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--series-1)", "opacity": 0.5},
                "encoding": {"x": {"field": "start", **seconds}, "x2": {"field": "stop"}, "y": score},
            },
            {
                "data": {"values": rows},
                "mark": {"type": "line", "point": True, "color": "var(--series-1)"},
                "encoding": {"x": {"field": "middle", **seconds}, "y": score, "tooltip": [{"field": "score"}]},
            },
        ],
    }


def report_lines(report: DetectionReport) -> list[str]:
    """Return the lines that the command prints."""
    lines = [
        f"{report.task}: {count_noun(report.fakes, 'fake')} and {count_noun(report.reals, 'real')} of "
        f"{count_noun(report.originals, 'original')}, windows pooled by {report.pool}"
    ]
    for score in report.scores:
        interval = (
            "" if score.low is None or score.high is None else f"{100 * score.low:6.2f} to {100 * score.high:.2f}"
        )
        lines.append(f"  {score.name:<10}{100 * score.value:8.2f} %  {interval}".rstrip())
    for title, listed in (("kind", report.kinds), ("method", report.methods)):
        lines += [
            f"  {title} {each.name}: {count_noun(each.fakes, 'fake')}, AUC {_percent(each.scores['AUC'])}"
            for each in listed
        ]
    return lines


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.2f} %"
