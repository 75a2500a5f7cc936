"""Render the HTML pages of this folder from their templates."""

from pathlib import Path
from typing import Any

from avf_shards.pages.render import make_page_environment

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values: Any) -> str:
    """Return the page of a template, with all values escaped.

    Raises:
        jinja2.UndefinedError: the template uses a name that `values` lacks.
    """
    environment = make_page_environment(TEMPLATES)
    environment.filters["top_reasons"] = _top_reasons
    return environment.get_template(template).render(**values)


def _top_reasons(reasons: dict[str, dict[str, int]]) -> list[tuple[str, dict[str, int]]]:
    """Return the three reasons that rejected most spans of a source, with their spans and frames."""
    return sorted(reasons.items(), key=lambda item: -item[1]["spans"])[:3]
