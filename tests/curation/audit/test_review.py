"""Human review: the sample is unbiased, answers are validated, estimates cover the truth, and the page works."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from avf_curation.audit.review import (
    Review,
    ReviewAnswers,
    ReviewItem,
    Verdict,
    read_verdicts,
    sample_review,
    score_review,
    span_name,
)
from avf_curation.cli.main import main
from avf_curation.reports import review_sheet
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import Decision
from avf_shards.system.temporary_folder import claim_temporary_folder
from avf_shards.timeline import Span
from playwright.sync_api import Page
from support.browser import open_again, open_page, serious_findings
from support.curation_runs import EMBEDDED, make_recipe
from support.demo_files import DemoFiles
from support.ray_runs import QUICK_SETTINGS
from support.runs import make_run


def make_review_item(number: int, source: str, stratum: str) -> ReviewItem:
    return ReviewItem(
        id=f"{number:04d}",
        stratum=stratum,
        decision=Decision(
            source=source, video_id=f"v{number}", group_id="p", path="v", span=Span(0, 50), status="kept"
        ),
    )


def simulated_review(seed: int) -> tuple[Review, dict[str, Verdict]]:
    """10,000 kept, 9 of 10 right, half of the rest for sync; 4,000 of sync, 3 of 4 right; 40 blurred, all right."""
    draw_ = np.random.default_rng(seed)
    items, verdicts = [], {}
    for stratum, right in (("kept", 0.9), ("sync/offset", 0.75), ("quality/blurred", 1.0)):
        for _ in range(40):
            item = make_review_item(len(items), "a", stratum)
            items.append(item)
            good = draw_.random() < right
            stage = "sync" if stratum == "kept" and not good and draw_.random() < 0.5 else None
            verdicts[item.id] = Verdict(answer="right" if good else "wrong", stage=stage)
    sizes = {"a": {"kept": 10_000, "quality/blurred": 40, "sync/offset": 4_000}}
    return Review(inputs_sha256="i", fingerprint="f", n=120, seed=seed, items=tuple(items), sizes=sizes), verdicts


def test_intervals_cover_the_true_rates() -> None:
    inside = dict.fromkeys(("kept precision", "kept recall", "sync precision", "sync recall"), 0)
    real = {"kept precision": 0.9, "sync precision": 0.75}
    real["kept recall"] = 9000 / (9000 + 1000)  # a quarter of 4,000 rejections should have been kept
    real["sync recall"] = 3000 / (3000 + 500)
    for seed in range(60):
        scores = {score.stage: score for score in score_review(*simulated_review(seed))}
        for name, value in real.items():
            stage, measure = name.split()
            share = getattr(scores[stage], measure)
            inside[name] += share.low <= value <= share.high
    assert min(inside.values()) >= 53, inside


def test_items_without_a_right_or_wrong_verdict_give_no_precision() -> None:
    review, _ = simulated_review(0)
    assert {entry.judged for entry in score_review(review, {})} == {0}
    unsure = {entry.id: Verdict(answer="unsure") for entry in review.items}
    scores = {entry.stage: entry for entry in score_review(review, unsure)}
    assert (scores["sync"].judged, scores["sync"].unsure) == (0, 40)
    assert (scores["sync"].precision.low, scores["sync"].precision.high) == (0, 1)


def test_a_sample_is_shared_by_stratum_and_spans_are_equally_likely(tmp_path: Path) -> None:
    run = make_run(tmp_path, videos=30)  # two kept spans and a rejected one a video
    review = sample_review(run, 21, 0)
    strata = [item.stratum for item in review.items]
    assert (strata.count("kept"), strata.count("faces/no_face")) == (10, 11)
    assert review.sizes == {"made": {"kept": 60, "faces/no_face": 30}}
    assert len(sample_review(run, 1000, 0).items) == 90
    assert sample_review(run, 21, 0) == review
    times: dict[str, int] = {}
    for seed in range(400):
        for item in sample_review(run, 20, seed).items:
            if item.stratum != "kept":
                times[item.decision.video_id] = times.get(item.decision.video_id, 0) + 1
    assert len(times) == 30
    assert 90 < min(times.values()) <= max(times.values()) < 180  # 133 on average, deviation 9.4


@pytest.fixture
def answered_review(tmp_path: Path) -> tuple[RunFolder, dict[str, Any]]:
    run = make_run(tmp_path)
    review = sample_review(run, 9, 0)
    answers = {
        item.id: {"answer": "right" if item.stratum == "kept" else "wrong", "span": span_name(item.decision)}
        for item in review.items
    }
    return run, {
        "fingerprint": review.fingerprint,
        "inputs_sha256": review.inputs_sha256,
        "n": 9,
        "seed": 0,
        "verdicts": answers,
    }


def test_audit_turns_verdicts_into_precision_and_recall(
    answered_review: tuple[RunFolder, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, values = answered_review
    (tmp_path / "verdicts.json").write_text(json.dumps(values))
    words = ["audit", str(run.root), "--verdicts", str(tmp_path / "verdicts.json")]
    assert main(words) == 0
    assert "9 of 9 spans answered" in capsys.readouterr().out
    assert main([*words, "--json", "-"]) == 0
    scores = {score["stage"]: score for score in json.loads(capsys.readouterr().out)["stages"]}
    assert scores["kept"]["precision"]["value"] == 1
    assert scores["kept"]["recall"]["value"] == pytest.approx(6 / 9)
    assert scores["faces"]["precision"]["value"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "other"}, "a run with other settings: other"),
        ({"inputs_sha256": "other"}, "a run of other inputs: other"),
        ({"n": 0}, "has n 0"),
        ({"seed": -1}, "seed -1"),
        ({"n": float("inf")}, "not a file of verdicts"),
        ({"n": "many"}, "not a file of verdicts"),
        (
            {"verdicts": {"0000": {"answer": "right", "span": "made/../x/0-50"}}},
            "not a span of this sample",
        ),
        ({"verdicts": {"9999": {"answer": "right", "span": "x"}}}, "not a span of this sample"),
        ({"verdicts": {"0000": "right"}}, "not a span of this sample"),
        ({"verdicts": {"0000": {"answer": "maybe"}}}, "'maybe' is not right, wrong or unsure"),
        ({"verdicts": {"0000": {"answer": "wrong", "stage": "magic"}}}, "'magic' is not one of scenes"),
    ],
)
def test_invalid_answer_files_are_refused_with_the_reason(
    answered_review: tuple[RunFolder, dict[str, Any]], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    run, values = answered_review
    for name, value in change.get("verdicts", {}).items():
        if isinstance(value, dict) and name in values["verdicts"]:
            change["verdicts"][name] = values["verdicts"][name] | value
    (tmp_path / "verdicts.json").write_text(json.dumps(values | change))
    with pytest.raises(UserError, match=message):
        read_verdicts(tmp_path / "verdicts.json", run)


def test_an_interrupted_review_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)

    def interrupt(folder: Path, *unused: object) -> dict[str, Any]:
        (folder / "clips/0000.mp4").write_bytes(b"clip")
        raise KeyboardInterrupt

    words = ["review", str(run.root), "--sample", "2", "--source", f"made={tmp_path}", "--out", str(tmp_path / "o")]
    with monkeypatch.context() as patch:
        patch.setattr(review_sheet, "_make_entry", interrupt)
        assert main(words) == 130
    assert "nothing is written" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    (tmp_path / "o").mkdir()
    claim_temporary_folder(tmp_path / "o/.unfinished")  # left by a process that was killed
    (tmp_path / "o/.unfinished/clips").mkdir()
    monkeypatch.setattr(review_sheet, "_make_entry", lambda folder, item, *unused: {"id": item.id})
    monkeypatch.setattr(review_sheet, "write_label_studio", lambda *unused: None)
    assert main(words) == 0
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["clips", "review.html"]


@pytest.mark.parametrize(("option", "value"), [("--sample", "0"), ("--seed", "-1")])
def test_options_of_review_are_named_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    run = make_run(tmp_path)
    assert main(["review", str(run.root), option, value, "--out", str(tmp_path / "o")]) == 2
    assert f"{option} {value}: must be at least" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sheet(corpus: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Path]:
    """Write the review of a rejected span and of a kept clip with a hostile name; return the run and the page."""
    folder = tmp_path_factory.mktemp("sheet")
    source = folder / "in"
    source.mkdir()
    for video, name in (("studio/talk_0.mp4", "</script><b>talk.mp4"), ("street/no face.mp4", "no face.mp4")):
        (source / name.replace("/", "\u2215")).write_bytes(corpus.draw(video).read_bytes())
    run = curate(make_recipe(*QUICK_SETTINGS), EMBEDDED, {"s": source}, folder / "run", RunOptions(engine="inline"))
    words = ["review", str(run.root), "--sample", "9", "--out", str(folder / "review")]
    assert main(words) == 0
    assert main(words) == 2, "never written over"
    assert len(list((folder / "review/clips").iterdir())) == len(sample_review(run, 9, 0).items) == 2
    return run, folder / "review/review.html"


def saved_answers(tab: Page, path: Path, run: RunFolder) -> ReviewAnswers:
    with tab.expect_download() as download:
        tab.keyboard.press("s")
    download.value.save_as(path)
    return read_verdicts(path, run)


@pytest.mark.browser
def test_answers_saved_by_the_page_are_read_by_audit(sheet: tuple[RunFolder, Path], tmp_path: Path) -> None:
    run, page = sheet
    with open_page(page, width=1000, accept_downloads=True) as tab:
        tab.wait_for_function("document.querySelector('video').readyState > 1")
        assert tab.evaluate("document.querySelector('video').duration") > 1
        assert tab.evaluate("document.querySelector('video').videoWidth") >= 224
        assert tab.locator("#stage b").count() == 0, "a name must not become markup"
        assert tab.locator("#screen rect.face").count() == 0, "no face is marked where none is"
        assert "No face was found" in tab.locator("#facts").inner_text()
        tab.keyboard.press("j")
        assert "talk.mp4" in tab.locator("#facts").inner_text()
        tab.wait_for_selector("#screen rect.face")  # the face of the kept clip is marked
        for key in ("k", "6"):
            tab.keyboard.press(key)
        assert tab.locator("#which button[aria-pressed=true]").inner_text() == "6 sync"
        tab = open_again(tab)
        assert tab.locator("#bar").get_attribute("aria-label") == "1 right, 1 wrong, 0 unsure, of 2"
        answers = saved_answers(tab, tmp_path / "verdicts.json", run)
    assert [answers.verdicts[name] for name in ("0000", "0001")] == [
        Verdict(answer="right"),
        Verdict(answer="wrong", stage="sync"),
    ]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reviews_with_buttons_and_a_name(
    sheet: tuple[RunFolder, Path], tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    run, page = sheet
    with open_page(page, scheme=scheme, width=390, has_touch=True, accept_downloads=True) as tab:
        tab.locator("[data-answer=right]").tap()
        tab.wait_for_selector("#screen rect.face")
        tab.locator("#marks").tap()
        assert tab.locator("#screen rect.face").count() == 0
        tab.locator("[data-answer=unsure]").tap()
        tab.locator("#previous").tap()
        assert tab.locator("[data-answer=right]").get_attribute("aria-pressed") == "true"
        tab.locator("#reviewer").fill("Jo Sk")
        tab.locator("#reviewer").press("k")  # a letter of the name is no answer
        assert tab.locator("[data-answer=right]").get_attribute("aria-pressed") == "true"
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert serious_findings(tab) == []
        tab.locator("#previous").focus()
        answers = saved_answers(tab, tmp_path / "verdicts.json", run)
    assert answers.reviewer == "Jo Skk"
    assert [verdict.answer for verdict in answers.verdicts.values()] == ["right", "unsure"]
