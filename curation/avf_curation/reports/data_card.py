"""The data card of a corpus, for people and as Croissant metadata: contents, gates, licences and provenance.

All values are read from the shards' manifest and records. The user gives what the shards do not hold (licences, a name,
an address); the card says "not stated" for anything not given.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.content import Content
from avf_shards.format.corpus import load_corpus
from avf_shards.format.index import ShardReader
from avf_shards.format.picture_record import PictureRecord, StoredRecord, read_stored_record
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.system import durable_io
from avf_shards.system.own_files import OwnFile, bytes_with, read_json_value, require_replaceable
from avf_shards.text import count_noun

from avf_curation.reports import croissant
from avf_curation.stages.checks import STAGES_OF, order_stages
from avf_curation.stages.undecided import undecided_reasons

CARD, CROISSANT = "DATA_CARD.md", "croissant.json"
# Of Markdown: a line between two letters, as in my_videos, emphasizes nothing.
_MARKUP = re.compile(r"[\\`*|~\[\]!#]|(?<![^\W_])_|_(?![^\W_])")
UNSTATED = "not stated"
PASSED, NOT_MEASURED = "passed", "not measured"


@dataclass(kw_only=True)
class SourceCard:
    """Contents of one source."""

    clips: int = 0  # number of clips, or of pictures
    seconds: float = 0.0  # length of all clips
    languages: Counter[str] = field(default_factory=Counter)  # language -> clips; UNSTATED where a record has none
    speakers: set[str] = field(default_factory=set)  # ids of the known speakers, or persons on pictures
    subsets: Counter[str] = field(default_factory=Counter)  # of pictures: set of the owners' split -> pictures
    labels: Counter[str] = field(default_factory=Counter)  # of pictures: name of a label -> pictures that have it
    videos: set[str] = field(default_factory=set)  # ids of the videos
    gates: dict[str, Counter[str]] = field(default_factory=dict)  # stage -> PASSED and NOT_MEASURED -> clips
    checks: dict[str, Counter[str]] = field(default_factory=dict)  # "stage/reason operator threshold" -> the same
    licence: str = UNSTATED  # as the user states it

    @property
    def hours(self) -> float:
        return self.seconds / 3600


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """Contents of a corpus."""

    name: str  # as the user calls the corpus
    digest: str  # of the corpus
    sources: dict[str, SourceCard]  # by name
    backends: dict[str, str]  # stage -> backend
    fingerprints: tuple[str, ...]  # of the curation runs, sorted
    shards: tuple[tuple[str, str, int], ...]  # file name, SHA-256, bytes
    inputs_sha256: str  # of the inputs of the curation run
    deleted: int  # clips deleted after packing
    content: Content = "clips"  # what the shards hold


def read_card(shards: Path, name: str, licences: Mapping[str, str]) -> DataCard:
    """Read every record of `shards` and return the card.

    Raises:
        UserError: a licence is given for a source that the shards do not have.
        FaultError: a shard is damaged.
    """
    manifest = read_manifest(shards)
    sources: dict[str, SourceCard] = {}
    backends: dict[str, str] = {}
    fingerprints: set[str] = set()
    for entry in manifest.shards:
        with ShardReader(shards / entry.shard) as reader:
            for members in reader.index.by_key().values():
                record = read_stored_record(reader.read(members["json"]), members["json"].name)
                _add_record(sources.setdefault(record.source, SourceCard()), record)
                backends |= record.backends
                fingerprints.add(record.fingerprint)
    for source, licence in licences.items():
        if source not in sources:
            raise UserError(f"--licence {source}=...: the shards have no such source; they have {', '.join(sources)}")
        sources[source].licence = licence
    listed = tuple((entry.shard, entry.sha256, entry.bytes) for entry in manifest.shards)
    deleted = len(manifest.tombstones)
    return DataCard(
        name=name,
        digest=load_corpus(shards).digest,
        sources=sources,
        backends=backends,
        fingerprints=tuple(sorted(fingerprints)),
        shards=listed,
        inputs_sha256=manifest.inputs_sha256,
        deleted=deleted,
        content=manifest.content,
    )


def _add_record(source: SourceCard, record: StoredRecord) -> None:
    source.clips += 1
    if isinstance(record, PictureRecord):
        source.subsets[record.subset or UNSTATED] += 1
        source.labels.update(list(record.labels.values) if record.labels else ())
    else:
        source.seconds += record.span.seconds
        source.languages[record.language or UNSTATED] += 1
    source.videos.add(record.video_id)
    if record.speaker:
        source.speakers.add(record.speaker)
    for check in record.checks:
        counts = source.checks.setdefault(
            f"{check.stage}/{check.reason} {check.operator} {check.threshold:g}", Counter()
        )
        counts[NOT_MEASURED if check.score is None else PASSED] += 1
    for stage in dict.fromkeys(check.stage for check in record.checks):
        undecided = undecided_reasons(check for check in record.checks if check.stage == stage)
        source.gates.setdefault(stage, Counter())[NOT_MEASURED if undecided else PASSED] += 1


def write_card(card: DataCard, out: Path, url: str | None, published: date | None = None) -> None:
    """Write DATA_CARD.md and croissant.json into `out`, in place of older ones. Raises UserError for other files."""
    require_replaceable(out / CARD, bytes_with("a data card of this program", b"## Gates", b"digest of the corpus: "))
    require_replaceable(out / CROISSANT, OwnFile(noun="metadata of a data card", knows=_is_own_croissant))
    durable_io.make_folder(out)
    durable_io.replace_file(out / CARD, card_markdown(card).encode())
    durable_io.replace_file(
        out / CROISSANT, (json.dumps(card_croissant(card, url, published), indent=1) + "\n").encode()
    )


def _is_own_croissant(path: Path) -> bool:
    values = read_json_value(path)
    sets = values.get("recordSet") if isinstance(values, dict) else None
    return isinstance(sets, list) and bool(sets) and sets[0].get("@id") in ("clips", "pictures")


def card_markdown(card: DataCard) -> str:
    """Return the card as Markdown."""
    noun = "clip" if card.content == "clips" else "picture"
    lines = [
        f"# {_escape_cell(card.name)}",
        "",
        *(_clip_lines(card) if card.content == "clips" else _picture_lines(card)),
    ]
    lines += [
        "",
        "## Gates",
        "",
        f"{noun.capitalize()}s by the verdict of each gate. Passed: every check of the gate was measured and passed. "
        "Not measured: a",
        "check could not be measured (a clip too short, too little motion), which is neither a pass nor a rejection.",
        "Not judged: the recipe skips the gate, or lets it measure without rejecting.",
        "",
        *_gate_table(card),
        "",
        "Each check with its threshold:",
        "",
        "| check | source | passed | not measured |",
        "|---|---|---|---|",
    ]
    for row in count_checks(card):
        check, source_name = _escape_cell(row["check"]), _escape_cell(row["source"])
        lines.append(f"| {check} | {source_name} | {row['passed']:,} | {row['not_measured']:,} |")
    lines += ["", "## Provenance", ""]
    lines += [f"- {_escape_cell(stage)}: {_escape_cell(backend)}" for stage, backend in sorted(card.backends.items())]
    lines += [f"- digest of the curation's settings: {_escape_cell(fingerprint)}" for fingerprint in card.fingerprints]
    lines += [f"- digest of its inputs: {_escape_cell(card.inputs_sha256)}", f"- digest of the corpus: {card.digest}"]
    if card.deleted:
        lines.append(f"- deleted after packing: {count_noun(card.deleted, noun)}")
    lines += ["", "| shard | bytes | SHA-256 |", "|---|---|---|"]
    lines += [f"| {_escape_cell(name)} | {size:,} | {_escape_cell(digest)} |" for name, digest, size in card.shards]
    return "\n".join(lines) + "\n"


def _clip_lines(card: DataCard) -> list[str]:
    """Return what the corpus holds in all, and the table of its sources."""
    hours = sum(source.hours for source in card.sources.values())
    clips = sum(source.clips for source in card.sources.values())
    lines = [
        f"{count_noun(clips, 'clip')} of talking faces, {hours:,.2f} hours, "
        f"from {count_noun(len(card.sources), 'source')}.",
        "25 frames per second, 16 kHz audio.",
        "",
        "| source | clips | hours | videos | speakers | languages | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, source in sorted(card.sources.items()):
        speakers = f"{len(source.speakers):,}" if source.speakers else UNSTATED
        counts = f"{source.clips:,} | {source.hours:,.2f} | {len(source.videos):,} | {speakers}"
        lines.append(
            f"| {_escape_cell(name)} | {counts} | {_count_list(source.languages)} | {_escape_cell(source.licence)} |"
        )
    return lines


def _picture_lines(card: DataCard) -> list[str]:
    """Return the same of a corpus of pictures."""
    pictures = sum(source.clips for source in card.sources.values())
    lines = [
        f"{count_noun(pictures, 'picture')} of faces, from {count_noun(len(card.sources), 'source')}.",
        "",
        "| source | pictures | persons | sets | labels | licence |",
        "|---|---|---|---|---|---|",
    ]
    for name, source in sorted(card.sources.items()):
        persons = f"{len(source.speakers):,}" if source.speakers else UNSTATED
        cells = (_count_list(source.subsets), _count_list(source.labels) or "none", _escape_cell(source.licence))
        lines.append(f"| {_escape_cell(name)} | {source.clips:,} | {persons} | {' | '.join(cells)} |")
    return lines


def _count_list(counts: Counter[str]) -> str:
    """Return the five commonest names with their counts."""
    return ", ".join(f"{_escape_cell(name)} {count:,}" for name, count in counts.most_common(5))


def _gate_table(card: DataCard) -> list[str]:
    lines = ["| gate | source | passed | not measured | not judged |", "|---|---|---|---|---|"]
    named = {stage for source in card.sources.values() for stage in source.gates}
    for stage in order_stages(named, STAGES_OF[card.content]):
        for name, source in sorted(card.sources.items()):
            counts = source.gates.get(stage, Counter())
            passed, not_measured = counts[PASSED], counts[NOT_MEASURED]
            cells = f"{passed:,} | {not_measured:,} | {source.clips - passed - not_measured:,}"
            lines.append(f"| {stage} | {_escape_cell(name)} | {cells} |")
    return lines


def count_checks(card: DataCard) -> list[dict[str, Any]]:
    """Return a row for each check with its threshold and source: clips that passed, and clips without a score."""
    rows = [
        {"check": check, "source": name, "passed": counts[PASSED], "not_measured": counts[NOT_MEASURED]}
        for name, source in card.sources.items()
        for check, counts in source.checks.items()
    ]
    stages = order_stages({stage for source in card.sources.values() for stage in source.gates})
    order = {stage: rank for rank, stage in enumerate(stages)}
    return sorted(rows, key=lambda row: (order[row["check"].partition("/")[0]], row["check"], row["source"]))


def _checks_record_set(card: DataCard) -> dict[str, Any]:
    """Return the counts of `count_checks` as a Croissant record set that holds its rows itself."""
    columns = {
        "check": (croissant.TEXT, "gate, reason, operator and threshold"),
        "source": (croissant.TEXT, "name of the source"),
        "passed": (croissant.INTEGER, "clips whose score was measured and passed"),
        "not_measured": (
            croissant.INTEGER,
            "clips whose score could not be measured, which is neither a pass nor a rejection",
        ),
    }
    fields = [croissant.field("checks", name, about, kind) for name, (kind, about) in columns.items()]
    return croissant.record_set("checks", ["check", "source"], fields, count_checks(card))


def _escape_cell(text: str) -> str:
    """Return text from outside as one table cell, without markup, line breaks or bars."""
    shown = "".join(c if c.isprintable() else " " for c in text).replace("&", "&amp;")
    return _MARKUP.sub(r"\\\g<0>", re.sub("<(?!=)", "&lt;", shown))  # "<=" begins no tag


def card_croissant(card: DataCard, url: str | None, published: date | None = None) -> dict[str, Any]:
    """Return the card as Croissant metadata: each shard with its digest, and the fields of the records."""
    shards = [
        croissant.shard_file(name, f"{url.rstrip('/')}/{name}" if url else name, size, digest)
        for name, digest, size in card.shards
    ]
    is_clips, noun = card.content == "clips", "clip" if card.content == "clips" else "picture"
    names = ("video_id", "speaker", "language") if is_clips else ("picture_id", "identity", "subset")
    columns = dict.fromkeys(("key", "source", *names), croissant.TEXT)
    if is_clips:
        columns["seconds"] = croissant.FLOAT
    fields = [
        croissant.field(card.content, name, f"`{name}` of the {noun}'s record", kind, f"$.{name}")
        for name, kind in columns.items()
    ]
    seconds = sum(source.seconds for source in card.sources.values())
    clips = sum(source.clips for source in card.sources.values())
    length = f" of talking faces, {seconds / 3600:.2f} hours" if is_clips else " of faces"
    about = croissant.Properties(
        name=card.name,
        description=f"{count_noun(clips, noun)}{length}",
        cite_as=UNSTATED,
        licences=sorted({source.licence for source in card.sources.values()}),
        url=url or f"urn:sha256:{card.digest}",
        published=published,
        languages=sorted({name for source in card.sources.values() for name in source.languages} - {UNSTATED}),
    )
    record_sets = [croissant.record_set(card.content, ["key"], fields)]
    if count_checks(card):
        record_sets.append(_checks_record_set(card))
    members = croissant.member_files((name for name, _, _ in card.shards), card.content)
    return croissant.dataset(about, [*shards, *members], record_sets)
