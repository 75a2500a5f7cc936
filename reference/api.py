"""Pages of the Python API: the public names of a package, for mkdocstrings."""

import dataclasses
import importlib
import inspect
import re

from avf_shards.settings.field_comments import field_notes

from reference.markdown import code, escape, table

TITLES = {
    "avf_shards": "Python: avf_shards",
    "avf_curation": "Python: avf_curation",
    "avf_training": "Python: avf_training",
}


def write_api(package: str) -> str:
    """Return the page of a package: its docstring, and a directive for each public name."""
    module = importlib.import_module(package)
    parts = [f"# {TITLES[package]}", _docstring(inspect.getdoc(module) or "")]
    for name in sorted(module.__all__, key=lambda name: (name[0].islower(), name.lower())):
        defined = getattr(module, name)
        parts.append(f"::: {defined.__module__}.{name}")
        if dataclasses.is_dataclass(defined) and isinstance(defined, type):
            rows = [(code(note.name), code(note.type), escape(note.text)) for note in field_notes(defined)]
            parts.append(table((f"Field of {name}", "Type", "Meaning"), rows))
    return "\n\n".join(parts) + "\n"


def _docstring(text: str) -> str:
    """Return a docstring whose indented blocks are Python."""
    return re.sub(
        r"((?:^    .*\n|^\n(?=    ))+)",
        lambda match: "```python\n" + re.sub("^    ", "", match[1], flags=re.M).strip("\n") + "\n```\n",
        text + "\n",
        flags=re.M,
    )
