"""The page of a review: every clip is shown with its own question and gets its own answer, and files are checked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from avf_curation.reports.html import TEMPLATES, render_page
from avf_curation.reports.label_studio import question
from avf_curation.reports.review_sheet import PAGE
from avf_curation.stages.checks import STAGES
from playwright.sync_api import Page
from support.browser import open_again, open_page

IDENTITY = {"fingerprint": "f", "inputs_sha256": "i", "n": 6, "seed": 0}
STRATA = ("kept", "quality/watermark", "quality/watermark_pooled", "scenes/too_short", "faces/no_face", "sync/offset")
ANSWER_KEYS = {"right": "j", "wrong": "k", "unsure": "l"}


def make_item(number: int, stratum: str) -> dict[str, Any]:
    item = {
        "id": f"{number:04d}",
        "span": f"a/v{number}/0-50",
        "source": "a",
        "video_id": f"v{number}",
        "where": "0.00 to 2.00 s",
        "stratum": stratum,
        "question": question(stratum),
        "meaning": "",
        "score": "",
        "cut": False,
    }
    if stratum == "sync/offset":
        return item | {"reason": "the input is gone"}
    shown = {"clip": f"clips/{number:04d}.mp4", "length": 2.0, "faces": [[0.0, []]], "logo": None, "cuts": []}
    return item | shown | {"logo_known": stratum == "kept"}


def verdict(number: int, answer: str, **values: str) -> dict[str, str]:
    return {"answer": answer, "span": f"a/v{number}/0-50"} | values


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Write a page without its clips; return its path."""
    sheet = IDENTITY | {"stages": STAGES, "items": [make_item(*pair) for pair in enumerate(STRATA)]}
    path = tmp_path / PAGE
    path.write_text(render_page(PAGE, sheet=sheet, script=(TEMPLATES / "review.js").read_text("utf-8")))
    return path


def stored_verdicts(tab: Page) -> Any:
    return json.loads(tab.evaluate("localStorage.getItem('avf-review-f-i-0-6')") or "{}")


@pytest.mark.browser
def test_each_clip_has_its_own_question_and_gets_its_own_answer(page: Path) -> None:
    expected = {}
    with open_page(page, width=1000) as tab:
        for number, stratum in enumerate(STRATA):
            assert tab.locator("#question").inner_text() == question(stratum)
            assert f"v{number}" in tab.locator("#facts").inner_text()
            if stratum != "sync/offset":
                assert tab.locator("video").get_attribute("src") == f"clips/{number:04d}.mp4"
                too_little = "Too little moves" in tab.locator("#legend").inner_text()
                assert too_little == (stratum != "kept")
                pooled = "compared all spans" in tab.locator("#legend").inner_text()
                assert pooled == stratum.endswith("_pooled")
            answer = ("right", "unsure", "wrong")[number % 3]
            tab.keyboard.press(ANSWER_KEYS[answer])
            expected[f"{number:04d}"] = verdict(number, answer)
            assert stored_verdicts(tab) == expected


@pytest.mark.browser
def test_the_page_says_what_is_saved_and_when_all_is_answered(page: Path) -> None:
    with open_page(page, width=390, has_touch=True) as tab:
        message = tab.locator("#message")
        tab.locator("#save").tap()
        assert message.inner_text() == "There is no answer to save yet."
        answers = tab.locator("[data-answer=right]")
        for _ in STRATA[1:]:
            answers.tap()
            assert message.inner_text() == ""
        with tab.expect_download() as download:
            tab.locator("#save").tap()
        assert download.value.suggested_filename == "verdicts.json"
        assert message.inner_text().startswith("5 answers of 6 saved;")
        answers.tap()
        assert message.inner_text() == "All 6 spans have an answer: save the answers."


@pytest.mark.browser
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("null", "another review"),
        (json.dumps(IDENTITY), "holds no answers"),
        (json.dumps(IDENTITY | {"verdicts": []}), "holds no answers"),
        (json.dumps(IDENTITY | {"verdicts": {"0000": "right"}}), "0000 is no span of this page"),
        (json.dumps(IDENTITY | {"verdicts": {"0009": verdict(9, "right")}}), "0009 is no span of this page"),
        (json.dumps(IDENTITY | {"verdicts": {"0000": verdict(0, "maybe")}}), "not right, wrong or unsure"),
        (json.dumps(IDENTITY | {"verdicts": {"0000": verdict(0, "wrong", stage="x")}}), "stage of 0000"),
    ],
)
def test_a_file_of_other_shape_changes_no_answer(page: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "answers.json").write_text(content)
    with open_page(page) as tab:
        tab.keyboard.press("j")
        tab.locator("#file").set_input_files(tmp_path / "answers.json")
        tab.wait_for_function("document.querySelector('#message').textContent")
        assert re.match(f"not read: .*{message}", tab.locator("#message").inner_text())
        assert stored_verdicts(tab) == {"0000": verdict(0, "right")}
        tab = open_again(tab)
        assert tab.locator("#bar").get_attribute("aria-label") == "1 right, 0 wrong, 0 unsure, of 6"


@pytest.mark.browser
def test_answers_of_the_page_are_replaced_only_after_a_question(page: Path, tmp_path: Path) -> None:
    from_file = {"0001": verdict(1, "wrong"), "0000": verdict(0, "wrong", stage="sync")}
    (tmp_path / "answers.json").write_text(json.dumps(IDENTITY | {"reviewer": "Jo", "verdicts": from_file}))
    with open_page(page) as tab:
        tab.keyboard.press("j")
        for accepted in (False, True):
            tab.once("dialog", lambda dialog, yes=accepted: dialog.accept() if yes else dialog.dismiss())
            tab.locator("#file").set_input_files(tmp_path / "answers.json")
            words = "2 answers read" if accepted else "nothing was read"
            tab.wait_for_function(f"document.querySelector('#message').textContent.startsWith('{words}')")
            assert stored_verdicts(tab) == (from_file if accepted else {"0000": verdict(0, "right")})
        assert tab.locator("#reviewer").input_value() == "Jo"
