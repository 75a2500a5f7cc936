"""Page of the files that runs, shards and models consist of: path, schema version, columns."""

import inspect
import re
from typing import Any, get_args

import avf_shards.format.run_folder
import avf_shards.schema.versions
import avf_training.trainer.run_folder
from avf_shards.schema.versions import VERSIONS, FileKind
from avf_shards.settings.field_comments import field_notes

from reference.file_contents import Contents, Texts
from reference.files import CONTENTS
from reference.markdown import code, escape, table


def write_files() -> str:
    """Return the page."""
    places = file_places()
    parts = [
        "# Files and columns",
        "Every file that a later version might read differently says its `schema_version`. A file of a newer version than "
        "the program knows is refused with a sentence; new optional fields need no new version.",
        f"## The folder of a curation run\n\n{_tree(avf_shards.format.run_folder)}",
        f"## The folder of a training run\n\n{_tree(avf_training.trainer.run_folder)}",
    ]
    for kind in get_args(FileKind):
        contents = CONTENTS[kind]
        parts.append(f"## {kind.capitalize()}")
        parts.append(f"{contents.about}\n\nPath: {code(places[kind])}. Schema version {VERSIONS[kind]}.")
        parts.append(_columns(contents))
        parts += [f"### {part.__name__}\n\n{_first_sentence(part)}\n\n{_fields(part)}" for part in contents.parts]
    return "\n\n".join(parts) + "\n"


def file_places() -> Texts:
    """Return kind -> path, from the comments at `VERSIONS`."""
    source = inspect.getsource(avf_shards.schema.versions)
    return dict(re.findall(r'^    "([a-z ]+)": \d+,  # (.+)$', source, re.M))


def _tree(module: Any) -> str:
    """Return the lines of a module's docstring that show a folder."""
    lines = str(inspect.getdoc(module)).splitlines()
    tree = [line for line in lines if line.startswith(("RUN", " "))]
    return "```text\n" + "\n".join(tree) + "\n```"


def _columns(contents: Contents) -> str:
    notes = {} if contents.rows is None else {note.name: note for note in field_notes(contents.rows)}
    if contents.schema is not None:
        rows = [
            (
                code(column.name),
                code(str(column.type)),
                escape(contents.keys.get(column.name) or notes[column.name].text),
            )
            for column in contents.schema
        ]
        return table(("Column", "Type", "Meaning"), rows)
    rows = [(code(name), "", escape(text)) for name, text in contents.keys.items()]
    rows += [(code(note.name), code(note.type), escape(note.text)) for note in notes.values()]
    return table(("Key", "Type", "Meaning"), rows)


def _fields(cls: type[Any]) -> str:
    rows = [(code(note.name), code(note.type), escape(note.text)) for note in field_notes(cls)]
    return table(("Key", "Type", "Meaning"), rows)


def _first_sentence(cls: type[Any]) -> str:
    return escape(str(inspect.getdoc(cls)).split("\n\n")[0])
