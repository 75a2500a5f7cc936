"""Croissant 1.0 metadata of a corpus: a JSON-LD document that lists shards, members and fields of the records.

The document is written without the package `mlcroissant`, which imports pandas and networkx; a test reads it with that
package and compares every value.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from avf_shards.format.content import Content

SPECIFICATION = "http://mlcommons.org/croissant/1.0"
_TERMS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
_ENCODINGS: Mapping[Content, Mapping[str, str]] = {
    "clips": {"json": "application/json", "mp4": "video/mp4", "flac": "audio/flac"},
    "pictures": {"json": "application/json", "jpg": "image/jpeg", "png": "image/png"},
}
"""Members of a shard by what it holds."""
TEXT, INTEGER, FLOAT = "sc:Text", "sc:Integer", "sc:Float"


def context() -> dict[str, Any]:
    """Return the JSON-LD context that the specification prescribes."""
    terms: dict[str, Any] = {term: f"cr:{term}" for term in _TERMS.split()}
    terms |= {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
    }
    return dict(sorted(terms.items()))


@dataclass(frozen=True, kw_only=True)
class Properties:
    """What the document says of the corpus as a whole."""

    name: str  # as people call the corpus
    description: str  # one sentence
    cite_as: str  # how to cite it
    licences: Sequence[str]  # of its sources
    url: str  # address, or a name that stands for its content
    published: date | None  # day of publication; None: not published
    languages: Sequence[str]  # that are spoken in it, where they are known


def dataset(
    about: Properties, distribution: Sequence[Mapping[str, Any]], record_sets: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the document. Values that are not known (no day of publication, no language) are left out."""
    values = {
        "@context": context(),
        "@type": "sc:Dataset",
        "name": about.name,
        "description": about.description,
        "conformsTo": SPECIFICATION,
        "citeAs": about.cite_as,
        "datePublished": about.published.isoformat() if about.published else None,
        "inLanguage": _unwrap(about.languages),
        "license": _unwrap(about.licences),
        "url": about.url,
        "version": "1.0.0",
        "distribution": list(distribution),
        "recordSet": list(record_sets),
    }
    return {key: value for key, value in values.items() if value not in (None, [])}


def shard_file(name: str, address: str, size: int, sha256: str) -> dict[str, Any]:
    """Return the entry of one shard of `size` bytes, whose file is at `address`."""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentSize": f"{size} B",
        "contentUrl": address,
        "encodingFormat": "application/x-tar",
        "sha256": sha256,
    }


def member_files(shards: Iterable[str], content: Content) -> list[dict[str, Any]]:
    """Return an entry for each kind of member that the shards of these names have."""
    inside = _unwrap([{"@id": shard} for shard in shards])
    return [
        {
            "@type": "cr:FileSet",
            "@id": kind,
            "name": kind,
            "containedIn": inside,
            "encodingFormat": encoding,
            "includes": f"*.{kind}",
        }
        for kind, encoding in _ENCODINGS[content].items()
    ]


def field(record_set: str, name: str, description: str, kind: str, json_path: str | None = None) -> dict[str, Any]:
    """Return a field of a record set; with `json_path` its value is read from the record of each clip."""
    values: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
    }
    if json_path:
        values["source"] = {"fileSet": {"@id": "json"}, "extract": {"jsonPath": json_path}}
    return values


def record_set(
    name: str, key: Sequence[str], fields: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return a record set whose records are told apart by the fields of `key`; `rows` are records that it holds."""
    values: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": _unwrap([{"@id": f"{name}/{part}"} for part in key]),
        "field": list(fields),
    }
    if rows:
        values["data"] = [{f"{name}/{column}": value for column, value in row.items()} for row in rows]
    return values


def _unwrap(values: Sequence[Any]) -> Any:
    """Return a list of one value as that value, as mlcroissant writes it."""
    return values[0] if len(values) == 1 else list(values)
