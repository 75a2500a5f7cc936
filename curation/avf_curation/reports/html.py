"""Render the HTML pages of this folder from their templates."""

from pathlib import Path
from typing import Any

import jinja2

from avf_curation.audit.funnel import duration


def render_page(template: str, **values: Any) -> str:
    """Return the page of a template. Values are escaped, and an unknown name in the template is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template(template).render(**values)
