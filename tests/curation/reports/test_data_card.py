"""The data card counts every clip, names thresholds and licences, and its Croissant file is valid."""

import json
import logging
import re
from collections import Counter
from pathlib import Path

import mlcroissant
import pytest
from avf_curation.cli.main import main
from avf_curation.reports.data_card import (
    PASSED,
    DataCard,
    SourceCard,
    card_markdown,
    count_checks,
    read_card,
    write_card,
)
from avf_shards.deletion.requests import deletion_request
from support.clips import make_flashing_shards
from support.takedowns import delete_clips


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing_shards(tmp_path_factory.mktemp("card"), {"a": 5, "b": 3})


def test_the_data_card_states_counts_thresholds_and_licences(shards: Path, tmp_path: Path) -> None:
    licence = "CC-BY-4.0 | see <owner>"
    assert (
        main(["data-card", str(shards), "--out", str(tmp_path), "--licence", f"a={licence}", "--name", "corpus"]) == 0
    )
    text = (tmp_path / "DATA_CARD.md").read_text()
    assert text.startswith("# corpus\n\n8 clips of talking faces")
    assert "| a | 5 |" in text
    assert "CC-BY-4.0 \\| see &lt;owner>" in text
    assert "| b | 3 |" in text
    assert "| scenes/too_short >= 1.5 | a | 5 | 0 |" in text
    assert "| scenes | b | 3 | 0 | 0 |" in text
    assert "Every clip passed" not in text
    for path in shards.glob("*.tar"):
        assert path.name in text


def test_the_croissant_file_is_valid(shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ["--licence", "a=CC-BY-4.0", "--url", "https://data.example.org/corpus", "--published", "2026-01-31"]
    assert main(["data-card", str(shards), "--out", str(tmp_path), *options]) == 0
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert dataset.metadata.to_json() == json.loads((tmp_path / "croissant.json").read_text())
    values = json.loads((tmp_path / "croissant.json").read_text())
    digests = {entry["name"]: entry["sha256"] for entry in values["distribution"] if entry["@type"] == "cr:FileObject"}
    assert digests.keys() == {path.name for path in shards.glob("*.tar")}
    assert set(values["license"]) == {"CC-BY-4.0", "not stated"}


def test_the_card_states_what_was_not_measured(shards: Path, tmp_path: Path) -> None:
    card = read_card(shards, "corpus", {})
    write_card(card, tmp_path, None)
    text = (tmp_path / "DATA_CARD.md").read_text()
    open_clips = {name: source.gates["quality"]["not measured"] for name, source in card.sources.items()}
    assert open_clips == {"a": 5, "b": 3}, "no watermark can be told from clips that show two colours"
    assert "| quality | a | 0 | 5 | 0 |" in text
    assert "| quality/watermark_pooled <= 30 | a | 0 | 5 |" in text
    for source in card.sources.values():
        assert all(sum(counts.values()) == source.clips for counts in (*source.gates.values(), *source.checks.values()))
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")
    assert dataset.metadata.to_json() == json.loads((tmp_path / "croissant.json").read_text())
    rows = list(dataset.records("checks"))
    assert {
        "checks/check": "quality/watermark_pooled <= 30",
        "checks/source": "b",
        "checks/passed": 0,
        "checks/not_measured": 3,
    } in rows
    assert len(rows) == len(count_checks(card))


def test_deleted_clips_are_not_counted(tmp_path: Path) -> None:
    shards = make_flashing_shards(tmp_path, {"a": 4})
    delete_clips(shards, deletion_request(["a/001.mp4"]))
    card = read_card(shards, "c", {})
    assert (card.sources["a"].clips, card.deleted) == (3, 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--licence", "a"], "must look like SOURCE=TEXT"),
        (["--licence", "c=MIT"], "the shards have no such source; they have a, b"),
        (["--published", "yesterday"], "must be a day, as in --published 2026-01-31"),
    ],
)
def test_invalid_requests_are_refused_with_the_reason(
    shards: Path, tmp_path: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data-card", str(shards), "--out", str(tmp_path / "card"), *options]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


HOSTILE = "<img src=x onerror=alert(1)>|[a](http://x) ![b](http://x) `c` **d** __e__ ~~f~~ &lt; \n# g"


def test_no_text_of_a_record_is_markup_of_the_card() -> None:
    source = SourceCard(clips=1, licence=HOSTILE)
    source.languages[HOSTILE] += 1
    source.checks["quality/black >= 1"] = source.checks[f"quality/{HOSTILE} >= 1"] = Counter({PASSED: 1})
    card = DataCard(
        name=HOSTILE,
        digest="d",
        sources={HOSTILE: source},
        backends={HOSTILE: HOSTILE},
        fingerprints=(HOSTILE,),
        shards=((HOSTILE, HOSTILE, 1),),
        inputs_sha256=HOSTILE,
        deleted=0,
    )
    text = card_markdown(card)
    assert text.count("alert(1)") > 10
    without_escapes = re.sub(r"\\[\W_]", "", text)
    assert "&amp;lt;" in text
    for markup in ("<i", "[a]", "![", "`", "**", "__", "~~"):
        assert markup not in without_escapes
    assert {line.count("|") for line in without_escapes.splitlines()} == {0, 4, 5, 6, 8}


def test_plain_names_stay_as_they_are() -> None:
    card = DataCard(
        name="my_videos 2",
        digest="d",
        sources={"my_videos": SourceCard()},
        backends={},
        fingerprints=(),
        shards=(),
        inputs_sha256="",
        deleted=0,
    )
    assert card_markdown(card).startswith("# my_videos 2\n")
    assert "\n| my_videos | 0 |" in card_markdown(card)
