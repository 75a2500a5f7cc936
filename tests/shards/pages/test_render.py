"""The base of all pages: contrast of the palette, escaped values, charts in the page's colours, and no axe findings."""

import io
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
import pytest
from avf_shards.pages.palette import DARK, LIGHT, Palette
from avf_shards.pages.render import make_page_environment, script_json
from PIL import Image
from playwright.sync_api import Locator
from support.browser import open_page, serious_findings

PAGE = """{% extends "base.html" %}
{% from "macros.html" import scroll_box %}
{% block title %}Study of {{ name }}{% endblock %}
{% block meta %}<p class="note">Made by a test.</p>{% endblock %}
{% block contents %}<li><a href="#rows">Rows</a></li>{% endblock %}
{% block main %}
<h2 id="rows">Rows</h2>
{% call scroll_box("Rows") %}<table><tr><th>row</th></tr><tr><td>{{ name }}</td></tr></table>{% endcall %}
{{ spec | chart("bars of two rows") }}
{% endblock %}
{% block scripts %}{{ chart_library() }}{% endblock %}
"""
SPEC: dict[str, Any] = {
    "data": {"values": [{"row": "<b>a", "value": 1}, {"row": "b", "value": 2}]},
    "mark": {"type": "bar", "color": "var(--kept)"},
    "encoding": {"x": {"field": "value", "type": "quantitative"}, "y": {"field": "row", "type": "nominal"}},
}


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_colour_reaches_the_contrast_of_wcag_aa(palette: Palette) -> None:
    named = {field.name: getattr(palette, field.name) for field in fields(palette)}
    texts = [named[name] for name in named if name not in ("paper", "panel", "line", "series")]
    for background in (palette.paper, palette.panel):
        for colour in (*texts, *palette.series):
            low, high = sorted((luminance(background), luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{colour} on {background}"


def test_values_are_escaped_and_unknown_names_are_errors(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE)
    environment = make_page_environment(tmp_path)
    page = environment.get_template("page.html").render(name="</script><b>x", spec=SPEC)
    assert "<b>" not in page
    assert "&lt;/script&gt;" in page
    assert script_json("</script>&") == '"\\u003c/script\\u003e\\u0026"'
    with pytest.raises(jinja2.UndefinedError):
        environment.get_template("page.html").render(spec=SPEC)
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_draws_its_charts_and_has_no_serious_findings(tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    (tmp_path / "page.html").write_text(PAGE)
    rendered = make_page_environment(tmp_path).get_template("page.html").render(name="<i>two rows", spec=SPEC)
    (tmp_path / "out.html").write_text(rendered)
    with open_page(tmp_path / "out.html", scheme=scheme, width=390) as page:
        page.wait_for_selector(".chart[data-drawn]")
        assert page.locator(".chart svg .mark-rect path").count() == 2
        colour = {"light": LIGHT, "dark": DARK}[scheme].kept
        assert page.locator(".chart svg .mark-rect path").first.get_attribute("fill") == colour
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("i, b").count() == 0
        assert serious_findings(page) == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_has_a_shadow_there_and_none_where_it_ends(
    tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    """The pixels of a box without text, in which nothing but the shadow can differ from the paper."""
    (tmp_path / "page.html").write_text(
        '{% extends "base.html" %}{% block title %}wide{% endblock %}{% from "macros.html" import scroll_box %}'
        '{% block main %}{% call scroll_box("Wide") %}<div style="width: 60rem; height: 4rem"></div>{% endcall %}'
        '{% call scroll_box("Narrow") %}<div style="width: 6rem; height: 4rem"></div>{% endcall %}{% endblock %}'
    )
    (tmp_path / "out.html").write_text(make_page_environment(tmp_path).get_template("page.html").render())
    with open_page(tmp_path / "out.html", scheme=scheme, width=390) as page:
        wide, narrow = page.locator(".scroll").all()
        assert shaded_sides(narrow) == (False, False)
        assert shaded_sides(wide) == (False, True)
        wide.evaluate("box => box.scrollLeft = 200")
        assert shaded_sides(wide) == (True, True)
        wide.evaluate("box => box.scrollLeft = box.scrollWidth")
        assert shaded_sides(wide) == (True, False)


def shaded_sides(box: Locator) -> tuple[bool, bool]:
    """Return whether the left and the right edge of a box are clearly darker or lighter than its middle."""
    pixels_HWC = np.asarray(Image.open(io.BytesIO(box.screenshot())).convert("RGB")).astype(int)
    row_WC = pixels_HWC[len(pixels_HWC) // 2]
    contrast_W = np.abs(row_WC - row_WC[len(row_WC) // 2]).max(1)
    return bool(contrast_W[2] > 40), bool(contrast_W[-3] > 40)
