"""`avf-curate status --serve`: the page shows what is committed, to this machine alone."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.cli.main import main
from avf_curation.pipeline.failures import FailureCause
from avf_curation.pipeline.outcomes import VideoOutcomes, fail_video
from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.reports.live_page import open_live_page, render_live_page
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.live_summary import LiveReader, LiveSummary
from avf_curation.runs.unit_log import append_unit
from avf_curation.sources.types import Video
from avf_shards.format.run_folder import RunFolder
from avf_shards.timeline import FRAMES_PER_SECOND
from support.browser import open_page, serious_findings
from support.curation_runs import EMBEDDED, make_recipe, stub_curate
from support.runs import make_inputs, make_run
from support.stages import single_step

pytestmark = pytest.mark.timeout(120)


@contextmanager
def served(run: RunFolder) -> Iterator[str]:
    """Serve a run's page in a thread; yield its address."""
    with open_live_page(run) as page:
        thread = threading.Thread(target=page.serve)
        thread.start()
        try:
            yield page.url
        finally:
            page.stop()
            thread.join()


def get(url: str, path: str = "/", **headers: str) -> tuple[int, str]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=120)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_the_summary_counts_each_committed_unit_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)  # 3 videos in units of 2; each has two kept spans (2 + 2.4 s) and one rejected (1.2 s)
    reader = LiveReader(run)
    for _ in range(2):
        summary = reader.summary()
        source = summary.sources["made"]
        assert (source.videos_done, source.videos, summary.units_counted) == (3, 3, 2)
        assert source.kept_s == pytest.approx(3 * 4.4)
        assert source.ending_rows() == [("rejected", "faces", "no_face", 3, pytest.approx(3.6))]
    assert summary.failures == ()
    assert {name for name, _ in summary.slow_videos} == {"made/000.mp4", "made/001.mp4", "made/002.mp4"}
    assert summary.remaining_s is None  # it is finished


def test_slow_videos_come_first(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    report = UnitReport(
        unit=7, videos=2, kept=0, rejected=0, failed=0, frames=0, video_seconds={"a/slow": 90.0, "a/quick": 0.1}
    )
    append_unit(run, report, 0)
    assert LiveReader(run).summary().slow_videos[0] == ("a/slow", 90.0)


def test_failures_are_shown_and_names_are_escaped(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 1)
    (source / "<img src=x onerror=alert(1)>.mp4").write_bytes(b"not a video")
    run = curate(make_recipe(), EMBEDDED, {"made": source}, tmp_path / "run", RunOptions(engine="inline"))
    page = render_live_page(LiveReader(run).summary(), "<b>run</b>")
    assert "open: not_media" in page
    assert "&lt;img src=x onerror=alert(1)&gt;.mp4" in page
    assert "<img src=x" not in page
    assert "<b>run" not in page


def test_the_page_answers_this_machine_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with served(run) as url:
        assert urlsplit(url).hostname == "127.0.0.1"
        status, page = get(url)
        assert (status, "3 of 3 videos" in page) == (200, True)
        status, text = get(url, "/status.json")
        assert (status, json.loads(text)["state"]) == (200, "finished")
        assert get(url, "/../../etc/passwd")[0] == 404
        assert get(url, Host="evil.example")[0] == 403


def test_a_run_that_goes_on_is_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    unit = run.unit_folder(0, 1)
    hidden = unit.rename(tmp_path / "hidden")
    (run.attempt_folder(0) / "ledger").rename(tmp_path / "ledger")
    reader = LiveReader(run)
    assert reader.summary().sources["made"].videos_done == 2
    hidden.rename(unit)
    assert reader.summary().sources["made"].videos_done == 3


def test_after_a_retry_the_figures_are_those_of_the_whole_run(tmp_path: Path) -> None:
    source = make_inputs(tmp_path / "in", 4)

    def curate_but(broken: set[str], retry: bool) -> RunFolder:
        def curate_video(video: Video, *others: Any) -> VideoOutcomes:
            if video.path in broken:
                cause = FailureCause(stage="scenes", error="damaged", message="broken")
                return VideoOutcomes(video=video, outcomes=(fail_video(video, cause),))
            return stub_curate(video, *others)

        options = RunOptions(engine="inline", stages=single_step(curate_video), retry_failed=retry)
        return curate(make_recipe("plan.unit_videos=1"), EMBEDDED, {"made": source}, tmp_path / "run", options)

    def spans(summary: LiveSummary) -> tuple[int, int, int]:
        return summary.totals["kept"], summary.totals["rejected"], summary.totals["failed"]

    run = curate_but({"000.mp4", "003.mp4"}, False)
    reader = LiveReader(run)
    assert spans(reader.summary()) == (4, 2, 2)
    curate_but({"003.mp4"}, True)
    unit = run.unit_folder(1, 0)
    hidden = unit.rename(tmp_path / "hidden")
    (run.attempt_folder(1) / "ledger").rename(tmp_path / "ledger")
    for each in (reader, LiveReader(run)):
        summary = each.summary()
        assert spans(summary) == (4, 2, 2), "a video counts as before until the retry decides it"
        assert (summary.sources["made"].videos_done, summary.sources["made"].videos) == (4, 4)
        assert {failure.video_id for failure in summary.failures} == {"000.mp4", "003.mp4"}
    hidden.rename(unit)
    for each in (reader, LiveReader(run)):
        summary = each.summary()
        audit = summarize_run(run).totals
        assert spans(summary) == (6, 3, 1)
        assert summary.sources["made"].kept_s * FRAMES_PER_SECOND == pytest.approx(audit["kept_frames"])
        assert summary.decided_s * FRAMES_PER_SECOND == pytest.approx(audit["input_frames"])
        assert summary.sources["made"].videos_done == 4
        assert [failure.video_id for failure in summary.failures] == ["003.mp4"]
        page = render_live_page(summary, "run")
        assert "<b>6</b> kept spans" in page
        assert "2 of 2 videos of this attempt" in page


def test_ctrl_c_ends_it_and_faults_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    command = [sys.executable, "-m", "avf_curation.cli.main", "status", str(run.root), "--serve"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    url = running.stdout.readline().split()[0]
    assert get(url)[0] == 200
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert (running.returncode, errors) == (0, "")
    assert main(["status", str(run.root), "--serve", "70000"]) == 2
    assert "--serve 70000: the port cannot be used" in capsys.readouterr().err
    assert main(["status", str(run.root), "--serve", "--json", "-"]) == 2
    empty = RunFolder(tmp_path / "empty")
    os.makedirs(empty.root / "run")
    (empty.root / "run/run.json").write_bytes((run.root / "run/run.json").read_bytes())
    assert main(["status", str(empty.root), "--serve"]) == 2
    assert "nothing is planned yet" in capsys.readouterr().err


@pytest.mark.browser
def test_the_page_refreshes_in_a_browser_and_is_accessible(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    hidden = run.unit_folder(0, 1).rename(tmp_path / "hidden")
    (run.attempt_folder(0) / "ledger").rename(tmp_path / "ledger")
    with served(run) as url:
        with open_page(url, "light", 390) as page:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
            assert serious_findings(page) == []
            page.get_by_text("2 / 3").wait_for()
            hidden.rename(run.unit_folder(0, 1))
            page.get_by_text("3 / 3").wait_for()
        with open_page(url, "dark", 390) as page:
            assert serious_findings(page) == []


def test_a_refresh_reads_only_what_is_new(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    reader = LiveReader(run)
    before = reader.summary()
    for unit in (0, 1):  # the folders stay: the units are committed
        for path in run.unit_folder(0, unit).iterdir():
            path.unlink()
    (run.log_folder / "units.jsonl").write_bytes(b"x" * (run.log_folder / "units.jsonl").stat().st_size)
    after = reader.summary()
    assert (after.status.progress, after.sources) == (before.status.progress, before.sources)
    assert (after.slow_videos, after.stage_seconds) == (before.slow_videos, before.stage_seconds)
