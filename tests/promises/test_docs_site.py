"""Promise: `make docs` builds the docs site without a network or a warning, and the reference has everything in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from avf_curation.recipe import load_recipe
from avf_curation.stages.reasons import REASONS
from avf_shards.schema import ledger
from avf_shards.schema.versions import VERSIONS
from support.browser import open_page, serious_findings
from support.docs_blocks import ROOT

pytestmark = pytest.mark.timeout(600)


def build_site(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of `make docs` in a folder; a proxy that does not exist fails each request to the network."""
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\ndocs: ")[2]
    words = re.search(r"\$\(BIN\)/python (-m mkdocs .*)", recipe)
    assert words is not None
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, *words[1].split(), "--site-dir", str(out)]
    return subprocess.run(command, cwd=folder, env=os.environ | nowhere, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    built = build_site(ROOT, out)
    assert built.returncode == 0, built.stderr[-3000:]
    return out


def test_a_warning_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text("site_name: a\n")
    (tmp_path / "docs/index.md").write_text("# A\n")
    assert build_site(tmp_path, tmp_path / "site").returncode == 0
    (tmp_path / "docs/index.md").write_text("# A\n\n[nowhere](nowhere.md)\n")
    built = build_site(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    assert "nowhere.md" in built.stderr


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loaded = re.findall(
            r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*", page.read_text("utf-8")
        )
        assert loaded == [], page


def test_the_reference_is_complete(site: Path) -> None:
    text = {page.stem: page.read_text("utf-8") for page in (site / "reference").glob("*.html")}
    for reason in REASONS:
        assert reason in text["verdicts"]
    for column in ledger.SCHEMA.names:
        assert f"<code>{column}</code>" in text["files"]
    for kind in VERSIONS:
        assert kind.capitalize() in text["files"]
    for section, values in load_recipe().values.items():
        for name in values:
            assert f"{section}.{name}" in text["curation-recipes"]
    for program in ("avf-curate", "avf-shards", "avf-train"):
        assert "log-json" in text[program]
    assert "load_recipe" in text["python-curation"]


@pytest.mark.browser
def test_the_search_works_on_pages_from_the_disk(site: Path) -> None:
    with open_page(site / "index.html") as page:
        page.keyboard.press("/")
        page.keyboard.type("watermark")
        page.wait_for_selector(".md-search-result__item")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("reference/verdicts", 390, "light"),
        ("reference/python-shards", 1280, "dark"),
        pytest.param("index", 1280, "light", marks=pytest.mark.slow),
        pytest.param("glossary", 390, "dark", marks=pytest.mark.slow),
        *(
            pytest.param(f"reference/{name}", 1280, scheme, marks=pytest.mark.slow)
            for name in ("python-shards", "python-curation", "training-recipes")
            for scheme in ("light", "dark")
            if (name, scheme) != ("python-shards", "dark")
        ),
    ],
)
def test_pages_are_accessible_and_fit_a_phone(site: Path, name: str, width: int, scheme: str) -> None:
    with open_page(site / f"{name}.html", scheme=scheme, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(page) == []


@pytest.mark.browser
def test_a_wide_table_shows_that_it_goes_on(site: Path) -> None:
    """The shadow lies below the table, so the table must not paint over it. tests/shards/pages looks at its pixels."""
    with open_page(site / "reference/verdicts.html", width=390) as page:
        box = page.locator(".md-typeset__scrollwrap").first
        assert box.evaluate("box => box.scrollWidth > box.clientWidth")
        assert box.evaluate("box => getComputedStyle(box).backgroundImage").count("gradient") == 4
        painted = box.locator("table").evaluate("table => getComputedStyle(table).backgroundColor")
        assert painted == "rgba(0, 0, 0, 0)"
