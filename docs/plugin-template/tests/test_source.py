"""The layout of interviews is read, and what is no input is named."""

from pathlib import Path

from avf_curation.recipe import load_recipe
from avf_curation.sources.registry import corpus_reader, list_inputs
from avf_curation.sources.types import SkippedInput


def test_takes_have_their_person_session_and_mood(tmp_path: Path) -> None:
    (tmp_path / "moods.csv").write_text("file,mood\nanna/1_03.mp4,calm\nben/2_01.mp4,glad\n")
    (tmp_path / "anna").mkdir()
    for name in ("1_03.mp4", "1_04.mp4"):
        (tmp_path / "anna" / name).write_bytes(b"video")
    skipped: list[SkippedInput] = []
    (video,) = list_inputs("interviews", tmp_path, load_recipe().settings_for("interviews").plan, skipped)
    assert (video.video_id, video.group_id, video.speaker) == ("anna/1_03", "anna/1", "anna")
    assert video.labels is not None
    assert video.labels.values == {"mood": "calm"}
    assert {(entry.kind, entry.path) for entry in skipped} == {
        ("unlisted", "anna/1_04.mp4"),
        ("missing", "ben/2_01.mp4"),
    }


def test_avf_curate_knows_the_corpus() -> None:
    reader = corpus_reader("interviews")
    assert reader is not None
    assert reader.package == "avf-interviews 0.1.0"
