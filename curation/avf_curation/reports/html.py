"""Render the HTML pages of this folder from their templates."""

from pathlib import Path
from typing import Any

import jinja2
from avf_shards.text import count_noun

from avf_curation.audit.funnel import format_duration


def render_page(template: str, **values: Any) -> str:
    """Return the page of a template, with all values escaped.

    Raises:
        jinja2.UndefinedError: the template uses a name that `values` lacks.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = format_duration
    environment.filters["count_noun"] = count_noun
    return environment.get_template(template).render(**values)
