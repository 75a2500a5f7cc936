"""Every section of a paper that a docstring or a recipe names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CITATION = re.compile(r"\b(HiCMAE|AVF-MAE\+\+)[ (]{1,2}(\d\.\d(?:\.\d)?)(?=[,;:).\s])(?![\d.]*\d)")
HEADINGS = {
    "HiCMAE": ("hicmae.txt", r"^ ?(\d\.\d(?:\.\d)?)\. [A-Z]"),
    "AVF-MAE++": ("avfmaepp_extended.txt", r"^#+ (\d\.\d) "),
}


def cited_sections() -> set[tuple[str, str]]:
    files = [path for part in ("curation", "shards", "training") for path in (ROOT / part).rglob("*")]
    texts = [path.read_text("utf-8") for path in files if path.suffix in (".py", ".yaml") and path.is_file()]
    return {citation for text in texts for citation in CITATION.findall(text)}


def test_sections_are_found_where_they_are_cited() -> None:
    cited = cited_sections()
    assert {("HiCMAE", "4.1"), ("HiCMAE", "3.1.3"), ("AVF-MAE++", "5.2"), ("AVF-MAE++", "4.1")} <= cited
    assert len(cited) >= 10


@pytest.mark.real
@pytest.mark.parametrize("paper", HEADINGS)
def test_cited_sections_exist(shared: Path, paper: str) -> None:
    name, heading = HEADINGS[paper]
    sections = set(re.findall(heading, (shared / "papers" / name).read_text("utf-8"), re.MULTILINE))
    missing = {section for cited, section in cited_sections() if cited == paper} - sections
    assert not missing, f"{paper} has no {', '.join(sorted(missing))}"
