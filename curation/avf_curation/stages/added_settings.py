"""Types of settings with the tables and gates of stages that installed packages add."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import field
from operator import getitem
from typing import Any, Literal, get_args, get_type_hints

from avf_shards.system.installed_packages import list_additions

from avf_curation.stages.added_stages import AddedStage
from avf_curation.stages.faces import FacesBackend
from avf_curation.stages.gates import GateOrSkip, GatesConfig, Undecided, UndecidedConfig
from avf_curation.stages.tracking import TrackBackend

FACE_FINDERS = "avf_foundry.face_finders"
"""Group of the entry points by which installed packages add face detectors."""
_FACE_BACKENDS = {"faces": get_args(FacesBackend), "track": get_args(TrackBackend)}  # table -> ours


def list_added_stages(values: Mapping[str, Any], own_tables: set[str]) -> list[str]:
    """Return the names of stages in the tables of a recipe that are not ours, sorted: tables and gates of no other use.

    Args:
        values: the tables, as read.
        own_tables: names of the tables that every recipe may have.
    """
    gates = values.get("gates")
    own_gates = {item.name for item in dataclasses.fields(GatesConfig)}
    named = {str(name) for name in gates if name not in own_gates} if isinstance(gates, Mapping) else set()
    return sorted({str(name) for name in values if name not in own_tables} | named)


def list_added_finders(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the face detectors of installed packages that the tables of a recipe name, sorted."""
    named = set()
    for table, own in _FACE_BACKENDS.items():
        backend = values[table].get("backend") if isinstance(values.get(table), Mapping) else None
        if isinstance(backend, str) and backend not in own:
            named.add(backend)
    return tuple(sorted(named & set(list_additions(FACE_FINDERS)))) if named else ()


def extend_settings(base: type[Any], stages: tuple[AddedStage, ...], finders: tuple[str, ...] = ()) -> type[Any]:
    """Return the class of a source's settings with a table and a gate for each added stage.

    Args:
        base: the class without them; it has the tables `gates` and the class variable `added_stages`.
        stages: sorted by name; without stages and finders, `base` itself is returned.
        finders: names of face detectors that faces.backend and track.backend take too.
    """
    if not stages and not finders:
        return base
    names = [added.stage.name for added in stages]
    undecided = _subclass(UndecidedConfig, [(name, Undecided, field(default="keep")) for name in names])
    gates = _subclass(
        GatesConfig,
        [
            ("undecided", undecided, field(default_factory=undecided)),
            *((name, GateOrSkip, field(default="decide")) for name in names),
        ],
    )
    settings = [(added.stage.name, added.stage.config, field(default_factory=added.stage.config)) for added in stages]
    tables = [_with_backends(base, table, finders) for table in _FACE_BACKENDS] if finders else []
    extended = _subclass(base, [("gates", gates, field()), *tables, *settings])
    extended.added_stages = stages
    return extended


def _with_backends(base: type[Any], table: str, finders: tuple[str, ...]) -> tuple[str, Any, Any]:
    """Return the field of a table whose `backend` takes more names."""
    names = (*_FACE_BACKENDS[table], *finders)
    literal = getitem(Literal, names)
    return table, _subclass(get_type_hints(base)[table], [("backend", literal, field())]), field()


def _subclass(base: type[Any], fields: list[tuple[str, Any, Any]]) -> type[Any]:
    """Return a frozen dataclass with more fields that has the name of its base: messages and references show it."""
    extended = dataclasses.make_dataclass(base.__name__, fields, bases=(base,), frozen=True, kw_only=True)
    extended.__module__ = base.__module__
    return extended


def drop_stages(tables: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the tables of a recipe or a source without these stages, their gates and `gates.undecided`."""
    left = {name: table for name, table in tables.items() if name not in names}
    if isinstance(left.get("gates"), Mapping):
        gates = {name: value for name, value in left["gates"].items() if name not in names}
        if isinstance(gates.get("undecided"), Mapping):
            gates["undecided"] = {name: value for name, value in gates["undecided"].items() if name not in names}
        left["gates"] = gates
    return left
