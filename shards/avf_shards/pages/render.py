"""Render pages from the templates of a package, on the base template of this folder, with Vega-Lite charts.

A page is one file that needs no network. Its template starts with `{% extends "base.html" %}` and fills the blocks
`title`, `meta`, `contents` and `main`, and `style` and `scripts` where it needs its own. A chart is put on the page by
`{{ spec | chart("what it shows") }}`; the page then also needs `{{ chart_library() }}` in the block `scripts`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avf_shards.pages.chart_bundle import vega_bundle
from avf_shards.pages.palette import DARK, LIGHT, css_properties
from avf_shards.text import count_noun

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


def make_page_environment(templates: Path) -> "jinja2.Environment":
    """Return the environment of a folder of templates; all values are escaped, and an unknown name is an error."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a renamed field fails here instead of leaving a gap on the page
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["light_colours"] = Markup(css_properties(LIGHT))
    environment.globals["dark_colours"] = Markup(css_properties(DARK))
    environment.globals["chart_library"] = _chart_library
    environment.filters["chart"] = embed_chart
    environment.filters["script_json"] = script_json
    environment.filters["count_noun"] = count_noun
    return environment


def script_json(value: Any) -> "Markup":
    """Return a value as JSON that can stand in a script element: no text in the value can end the element.

    Raises:
        ValueError: the value holds a NaN or an infinity, which JSON has no word for.
    """
    from markupsafe import Markup

    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def embed_chart(chart: Any, label: str, height: int = 200) -> "Markup":
    """Return the element of a chart, which the chart library draws when the element comes into view.

    Args:
        chart: an Altair chart or a Vega-Lite spec. Its width becomes that of the element. A colour may be written as a
            custom property of the page, such as "var(--kept)"; the chart then follows the light or dark background.
        label: what the chart shows, for people who cannot see the chart.
        height: of the place that is held free until the chart is drawn, in pixels.
    """
    from markupsafe import Markup

    spec: dict[str, Any] = dict(chart) if isinstance(chart, Mapping) else chart.to_dict()
    spec.pop("config", None)  # Altair's defaults; the page has its own
    spec.pop("$schema", None)
    if not {"facet", "hconcat", "vconcat", "concat", "repeat"} & spec.keys():
        spec["width"] = "container"
    spec["description"] = label
    return Markup(
        '<div class="chart" style="min-height:{}px"><script type="application/json">{}</script></div>'
    ).format(height, script_json(spec))


def _chart_library() -> "Markup":
    """Return the script elements that draw the charts of a page: Vega-Lite itself, and the settings of the page."""
    from markupsafe import Markup

    settings = (_TEMPLATES / "charts.js").read_text("utf-8")
    return Markup("<script>" + vega_bundle() + "</script>\n<script>\n" + settings + "</script>")
