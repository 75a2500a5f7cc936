"""The audit page: histograms are exact, axes are honest, filters work by keyboard and touch, clips play."""

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.audit.gate_evidence import GateEvidence
from avf_curation.cli.main import main
from avf_curation.detectors.shipped_weights import SYNC_HEAD
from avf_curation.pipeline.failures import FAILURE_SENTENCES, FailureCause
from avf_curation.pipeline.outcomes import VideoOutcomes, fail_video
from avf_curation.reports import audit_report
from avf_curation.reports.audit_report import write_audit_report
from avf_curation.reports.score_chart import make_score_chart
from avf_curation.reports.score_histograms import ScoreHistogram, choose_axis, count_scores
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_curation.stages.reasons import REASONS
from avf_shards.format.manifest import seal
from avf_shards.schema.ledger import Check, Decision, Status, decisions_to_table
from avf_shards.timeline import Span
from markupsafe import escape
from support.browser import open_page, serious_findings
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.demo_files import DemoFiles
from support.ray_runs import QUICK_SETTINGS
from support.runs import make_inputs, make_run
from support.stages import single_step


def make_decision(source: str, number: int, status: Status, score: float | None, limit: float) -> Decision:
    check = Check(stage="quality", reason="blurred", score=score, operator=">=", threshold=limit)
    return Decision(
        source=source,
        video_id=f"{number:04d}",
        group_id="g",
        path="v",
        span=Span(0, 50),
        status=status,
        checks=(check,) if status != "failed" else (),
    )


def histograms_of(decisions: list[Decision]) -> list[ScoreHistogram]:
    table = decisions_to_table(decisions)
    return count_scores(lambda: table.to_batches(max_chunksize=7))


def test_a_run_whose_gates_only_measure_has_no_histogram() -> None:
    decisions = [replace(make_decision("a", number, "kept", 1.0, 0.0), checks=()) for number in range(20)]
    assert histograms_of(decisions) == []


def test_every_span_is_counted_once_in_its_source_and_series() -> None:
    scores: list[float | None] = [5.0, 30.0, 31.0, 90.0, None, 5000.0]
    decisions = [make_decision("a", n, "kept", score, 20.0) for n, score in enumerate(scores)]
    decisions += [make_decision("a", 100 + n, "rejected", 1.0 + n / 10, 20.0) for n in range(30)]
    decisions += [make_decision("b", 200 + n, "kept", 40.0, 35.0) for n in range(200)]
    decisions += [make_decision("b", 500, "failed", None, 0.0)]
    first, second = histograms_of(decisions)
    assert (first.source, first.kept_spans, first.rejected_spans, first.not_measured) == ("a", 5, 30, 1)
    assert (first.above, first.kept_above, first.below, first.highest) == (2, 2, 0, 5000.0)
    assert first.thresholds == ((">=", 20.0),)
    assert (second.source, second.kept_spans, second.thresholds) == ("b", 200, ((">=", 35.0),))
    assert np.array_equal(first.axis.edges, second.axis.edges), "a check has the same axis in all sources"
    bars = make_score_chart(first)["layer"][0]["data"]["values"]
    assert sum(bar["kept"] + bar["rejected"] for bar in bars) == 35
    assert bars[-1] == {"i": len(first.axis.edges) - 1, "kept": 2, "rejected": 0}


def test_axes_begin_where_the_data_can_begin() -> None:
    rng = np.random.default_rng(0)
    seconds = choose_axis("scenes/too_short", rng.exponential(4, 1000), {1.5})
    assert seconds.edges[0] == 0
    assert seconds.symlog is None
    share = choose_axis("faces/no_face", rng.uniform(0, 0.1, 100), {0.4})
    assert (share.edges[0], share.edges[-1]) == (0, 1)
    tail = choose_axis("quality/blurred", rng.lognormal(6, 2, 5000), {20.0})
    assert tail.edges[0] == 0
    assert tail.symlog == 20.0
    assert tail.edges[1] < 20, "scores under the threshold have bins of their own"
    signed = choose_axis("sync/low_confidence", rng.normal(0, 3, 1000), {3.0})
    assert signed.edges[0] < 0
    for check in REASONS:
        for scores in (np.zeros(0), np.zeros(9), np.full(9, 7.0)):
            edges = choose_axis(check, scores, {0.0}).edges
            assert np.all(np.diff(edges) > 0), check


def test_a_stored_clip_that_is_no_video_becomes_a_tile_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    page = tmp_path / "page.html"
    assert main(["audit", str(run.root), "--html", str(page), "--excerpts", "2"]) == 0
    text = page.read_text()
    assert text.count("cannot be shown: the stored clip is no readable video") == 2
    assert len(re.findall(r'<details class="story"', text)) == 4, "two kept spans and two rejected ones"
    assert "scenes/too_short" in text
    assert main(["audit", str(run.root), "--html", str(page), "--excerpts", "-1"]) == 2
    assert "--excerpts -1: must be at least 0" in capsys.readouterr().err


def fail_each_in_its_way(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Fail by a kind that has a sentence, fail by a fault of the program, and reject, by the name of the file."""
    if video.path == "000.mp4":
        return _failed(video, FailureCause(stage="open", error="not_media", message="cannot be opened"))
    if video.path == "001.mp4":
        return _failed(video, FailureCause(stage="crop", error="ZeroDivisionError", message="by zero"))
    return stub_curate(video, root, settings, tools)


def _failed(video: Video, cause: FailureCause) -> VideoOutcomes:
    return VideoOutcomes(video=video, outcomes=(fail_video(video, cause),))


def test_each_reason_and_each_failure_leads_to_its_explanation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        audit_report, "read_gate_evidence", lambda backends, **_: {}
    )  # its table has links to reasons too
    source = make_inputs(tmp_path / "in", 3)
    options = RunOptions(engine="inline", stages=single_step(fail_each_in_its_way))
    run = curate(make_recipe(), EMBEDDED, {"a": source}, tmp_path / "run", options)
    write_audit_report(run, summarize_run(run), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    links = dict(re.findall(r'<td><a href="#([^"]+)">([^<]+)</a></td>', text))
    assert links.keys() == {"reason-faces-no_face", "error-not_media", "error-exception"}
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r' id="([^"]+)"', text)), "a link leads nowhere"
    for error, sentence in FAILURE_SENTENCES.items():
        assert f'<div id="error-{error}"><dt>{error}</dt><dd>{escape(sentence)}</dd></div>' in text


def test_the_page_leads_to_how_often_each_gate_was_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"bad": 10, "rejected_bad": 4, "good": 8, "rejected_good": 1, "undecided": 5}
    offset = GateEvidence(gate="sync/offset", backend="envelope", **counts)
    run = make_run(tmp_path)
    for number, evidence in enumerate(({}, {offset.gate: offset})):
        monkeypatch.setattr(audit_report, "read_gate_evidence", lambda backends, evidence=evidence, **_: evidence)
        write_audit_report(run, summarize_run(run), tmp_path / f"{number}.html")
    without, text = ((tmp_path / f"{number}.html").read_text() for number in range(2))
    assert "#evidence" not in without
    assert '<a href="#evidence">' in text
    row = re.search(r'<details[^>]* id="evidence".*?<tr>(<td>.*?)</tr>', text, re.DOTALL)
    assert row is not None
    cells = re.sub("<[^>]+>", "|", row[1]).replace("||", "|").split("|")
    assert [cell.strip() for cell in cells if cell.strip()] == [
        *("sync/offset", "envelope", "10", "4", "40 % (17 to 69 %)", "8", "1", "5")
    ]


@pytest.mark.parametrize("is_own", [False, True])
def test_offsets_by_a_network_that_was_learnt_have_no_figures_of_another(tmp_path: Path, is_own: bool) -> None:
    run = make_run(tmp_path)
    path = run.root / "run/run.json"
    identity = json.loads(path.read_text())
    identity["backends"]["sync"] = "learned"
    identity["weights"]["sync_head"] = "0" * 16 if is_own else SYNC_HEAD.sha256[:16]
    identity = {name: value for name, value in identity.items() if name not in ("self_sha256", "schema_version")}
    path.write_bytes(seal(identity, "curation run"))
    write_audit_report(run, summarize_run(run), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    offset = text.partition('<div id="reason-sync-offset">')[2].partition("</div>")[0]
    assert ("Measured by learned on films" in offset) != is_own
    assert ("which <code>avf-curate learn-sync</code> learnt" in text) == is_own


@pytest.mark.parametrize("command", [["audit"], ["what-if", "--set", "quality.min_sharpness=9"], ["retry"]])
def test_a_run_of_older_settings_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    run = make_run(tmp_path)
    identity = json.loads((run.root / "run/run.json").read_text())
    identity["settings"]["quality"]["least_sharpness"] = identity["settings"]["quality"].pop("min_sharpness")
    identity = {name: value for name, value in identity.items() if name not in ("self_sha256", "schema_version")}
    (run.root / "run/run.json").write_bytes(seal(identity, "curation run"))
    assert main([command[0], str(run.root), *command[1:]]) == 2
    message = capsys.readouterr().err
    assert f"run {identity['fingerprint']}: was made by other code (avf-foundry " in message
    assert "quality.least_sharpness" in message


@pytest.fixture(scope="module")
def page(corpus: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audit two sources, of which one has a hostile name; return the page."""
    folder = tmp_path_factory.mktemp("audit")
    for source, video, name in (
        ("talk", "studio/talk_0.mp4", "</script><b>talk.mp4"),
        ("empty", "street/no face.mp4", "no face.mp4"),
    ):
        (folder / source).mkdir()
        (folder / source / name.replace("/", "\u2215")).write_bytes(corpus.draw(video).read_bytes())
    sources = {name: folder / name for name in ("talk", "empty")}
    run = curate(make_recipe(*QUICK_SETTINGS), EMBEDDED, sources, folder / "run", RunOptions(engine="inline"))
    assert main(["audit", str(run.root), "--html", str(folder / "page.html")]) == 0
    return folder / "page.html"


@pytest.mark.browser
def test_filters_work_and_stay_in_the_address(page: Path) -> None:
    with open_page(page) as tab:
        panels = tab.locator("figure.panel:visible").count()
        tab.select_option("select[name=source]", "empty")
        assert {each.get_attribute("data-source") for each in tab.locator("figure.panel:visible").all()} == {"empty"}
        assert tab.url.endswith("#source=empty")
        tab.locator("select[name=stage]").focus()
        tab.keyboard.type("faces")
        tab.keyboard.press("Enter")
        assert "stage=faces" in tab.url
        assert tab.locator(".story[open]").count() == 0, "stories are folded, so that the page stays short"
        tab.locator(".tile:visible a").first.click()
        assert "at=story-" in tab.url
        assert tab.locator(".story[open]").count() == 1
        assert "faces/no_face" in str(tab.evaluate("document.activeElement.textContent"))
        address = tab.url
        tab.goto("about:blank")
        tab.goto(address)
        assert tab.locator("select[name=source]").input_value() == "empty"
        assert tab.locator(".tile video:visible").count() == 1
        tab.locator("#clear").click()
        assert tab.locator("figure.panel:visible").count() == panels
        tab.select_option("select[name=source]", "talk")
        charts = tab.locator("figure.panel[data-source=talk]").count()
        assert tab.locator("figure.panel:visible").count() == charts, "a filter opens what it finds"
        tab.select_option("select[name=reason]", "faces/no_face")
        for heading in ("reasons", "sheets", "stories"):
            assert not tab.locator(f"h2#{heading}:visible, nav a[href='#{heading}']:visible").count(), heading


EMPTY_SECTIONS = """() => [...document.querySelectorAll("main section, main details, main .groups > div, main table")]
    .filter(box => box.checkVisibility() && box.querySelector("[data-source]"))
    .filter(box => !box.querySelector("[data-source]:not([hidden])"))
    .map(box => box.textContent.trim().slice(0, 60))"""


@pytest.mark.browser
def test_no_filter_leaves_a_heading_or_a_head_of_a_table_alone(page: Path) -> None:
    with open_page(page) as tab:
        for name in ("source", "stage", "reason"):
            values = tab.locator(f"select[name={name}] option").evaluate_all("all => all.map(option => option.value)")
            assert len(values) > 2
            for value in values:
                tab.locator("#clear").click()
                tab.select_option(f"select[name={name}]", value)
                assert tab.evaluate(EMPTY_SECTIONS) == [], f"{name} {value}"


@pytest.mark.browser
def test_sources_are_folded_and_open_by_hand_by_link_and_for_print(page: Path) -> None:
    with open_page(page) as tab:
        scores = tab.locator("details.fold[aria-label^='Scores of']")
        assert [each.get_attribute("open") is not None for each in scores.all()] == [True, False]
        summary = scores.last.locator("> summary")
        assert re.search(r"talk .*0:\d\d\.\d kept, .* rejected, .* failed", str(summary.text_content()))
        assert tab.locator("figure[data-source=talk]:visible").count() == 0
        tab.wait_for_function(  # without scrolling
            "[...document.querySelectorAll('.chart')].filter(c => c.checkVisibility()).every(c => 'drawn' in c.dataset)"
        )
        assert tab.locator("figure[data-source=talk] .chart[data-drawn]").count() == 0, "drawn when it is opened"
        folded = tab.locator("details:not([open])").count()
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert tab.locator("details:not([open])").count() == 0
        tab.wait_for_function("!document.querySelector('.chart:not([data-drawn])')")
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        assert tab.locator("details:not([open])").count() == folded
        tab.reload()
        summary.click()
        tab.locator("details.fold[aria-label='Scores of talk'] details > summary").click()
        tab.locator("figure[data-source=talk] .chart").first.scroll_into_view_if_needed()
        tab.wait_for_selector("figure[data-source=talk] .chart[data-drawn]")
        tab.locator("a[href='#reason-faces-no_face']").first.click()
        assert tab.locator("#reason-faces-no_face:visible").count() == 1
        tab.goto(f"{page.as_uri()}?#story-1")
        assert tab.locator("#story-1[open] pre:visible").count() == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_plays_and_explains_the_clips(page: Path, scheme: Literal["light", "dark"]) -> None:
    with open_page(page, scheme=scheme, width=390, has_touch=True) as tab:
        tab.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        tab.reload()
        assert tab.locator("b", has_text="talk").count() == 0, "a name must not become markup"
        video = tab.locator(".tile video").first
        assert (video.get_attribute("preload"), video.get_attribute("autoplay")) == ("none", None)
        video.scroll_into_view_if_needed()
        video.tap()
        tab.wait_for_function("[...document.querySelectorAll('video')].some(video => video.currentTime > 0)")
        tab.select_option("select[name=reason]", "scenes/too_short")
        chart = tab.locator("figure.panel[data-reason='scenes/too_short'] .chart").first
        chart.scroll_into_view_if_needed()
        tab.wait_for_selector("figure.panel[data-reason='scenes/too_short'] .chart[data-drawn]")
        assert "passes >= " in str(chart.locator("svg").text_content())
        for reason in REASONS:
            assert tab.locator(f"#reason-{reason.replace('/', '-')}").count() == 1
        assert serious_findings(tab) == []


def test_specs_are_json_that_cannot_end_the_script(page: Path) -> None:
    for text in re.findall(r'<script type="application/json">(.*?)</script>', page.read_text()):
        assert json.loads(text)["layer"]


def test_the_benchmark_of_the_page_writes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    benchmark = importlib.import_module("benchmarks.audit_page")
    run = make_run(tmp_path)
    monkeypatch.setattr(benchmark, "SPANS", 100)
    benchmark._replace_ledger(run, 100)
    write_audit_report(run, summarize_run(run), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert all(f"source {number:02d}" in text for number in range(benchmark.SOURCES))
