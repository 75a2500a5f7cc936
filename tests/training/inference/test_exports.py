"""Predictions over time as subtitles, ELAN documents and tables: times, overlaps, people, videos, escapes."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from avf_shards.errors import UserError
from avf_training.console.task_tables import print_predictions
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction
from avf_training.inference.prediction_files import require_outputs, write_predictions_file
from avf_training.inference.timeline import label_segments, label_shares, score_segments

HAPPY, SAD = (0.9, 0.1), (0.2, 0.8)


def make_person(
    windows: Sequence[tuple[float, float, tuple[float, ...]]],
    *,
    names: tuple[str, ...] = ("happy", "sad"),
    classes: bool = True,
    person: int = 0,
    video: str = "talk.mp4",
) -> PersonPrediction:
    """Return a prediction with windows of (start_s, stop_s, scores)."""
    return PersonPrediction(
        source="clip",
        video_id=video,
        path=video,
        person=person,
        names=names,
        classes=classes,
        windows=tuple(
            WindowPrediction(key="k", start_s=start_s, stop_s=stop_s, scores=scores)
            for start_s, stop_s, scores in windows
        ),
    )


def test_overlapping_windows_become_one_label_for_each_time() -> None:
    """The windows [0, 4) happy, [2, 6) happy, [4, 8) sad: sad has the higher mean only where it is alone."""
    person = make_person([(0, 4, HAPPY), (2, 6, HAPPY), (4, 8, SAD)])
    segments = label_segments(person)
    assert [(each.start_s, each.stop_s, each.best) for each in segments] == [(0, 6, 0), (6, 8, 1)]
    assert segments[0].scores[0] == pytest.approx((4 * 0.9 + 2 * 0.55) / 6)
    assert label_shares(person) == {"happy": 0.75, "sad": 0.25}
    gap = make_person([(60.0, 61.0, HAPPY), (70.0, 71.0, HAPPY)])
    assert [(each.start_s, each.stop_s) for each in label_segments(gap)] == [(60, 61), (70, 71)], "nobody in between"
    noisy = make_person([(0, 2.56, HAPPY), (2.5600000001, 5, HAPPY)])
    assert len(score_segments(noisy)) == 2, "no segment of a billionth of a second"


def test_subtitles_have_the_video_s_times(tmp_path: Path) -> None:
    person = make_person([(3723.04, 3725.6, HAPPY), (3725.6, 3727.0, SAD)])
    assert write_predictions_file([person], tmp_path / "t.srt", Path("talk.mp4")) == tmp_path / "t.srt"
    assert (tmp_path / "t.srt").read_text() == (
        "1\n01:02:03,040 --> 01:02:05,600\nhappy 0.90\n\n2\n01:02:05,600 --> 01:02:07,000\nsad 0.80\n"
    )
    write_predictions_file([person], tmp_path / "t.vtt", Path("talk.mp4"))
    text = (tmp_path / "t.vtt").read_text()
    assert text.startswith("WEBVTT\n\nNOTE ")
    assert "\n\n01:02:03.040 --> 01:02:05.600\nhappy 0.90\n\n01:02:05.600 --> 01:02:07.000\nsad 0.80\n" in text


def test_cues_of_several_people_name_them_in_order_of_time(tmp_path: Path) -> None:
    people = [make_person([(1, 3, HAPPY)]), make_person([(0, 2, SAD)], person=1)]
    write_predictions_file(people, tmp_path / "t.srt", Path("talk.mp4"))
    lines = [line for line in (tmp_path / "t.srt").read_text().splitlines() if "person" in line]
    assert lines == ["person 2: sad 0.80", "person 1: happy 0.90"]


def test_dimensions_are_written_as_numbers(tmp_path: Path) -> None:
    names = ("valence", "arousal")
    person = make_person([(0, 2, (0.5, -0.25)), (2, 4, (0.5, 0.75))], names=names, classes=False)
    write_predictions_file([person], tmp_path / "t.srt", Path("talk.mp4"))
    assert "valence 0.50, arousal -0.25\n" in (tmp_path / "t.srt").read_text()
    write_predictions_file([person], tmp_path / "t.eaf", Path("talk.mp4"))
    tiers = read_tiers(tmp_path / "t.eaf")
    assert tiers["person 1 valence"] == [(0, 4000, "0.50")]
    assert tiers["person 1 arousal"] == [(0, 2000, "-0.25"), (2000, 4000, "0.75")]


def read_tiers(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Return the annotations of each tier as (start_ms, stop_ms, value); a dependent tier has the times of its parent.

    Checks what the schema of ELAN Annotation Format 3.0 asks for and ElementTree cannot: the order of elements,
    required attributes, unique identifiers, and references to what exists.
    """
    root = ElementTree.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= set(root.attrib)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", root.attrib["DATE"])
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "CONSTRAINT"]
    ranks = [order.index(child.tag) for child in root]
    assert ranks == sorted(ranks)
    header = root.find("HEADER")
    assert header is not None
    assert [child.tag for child in header] == ["MEDIA_DESCRIPTOR", "PROPERTY"]
    slots = {each.attrib["TIME_SLOT_ID"]: int(each.attrib["TIME_VALUE"]) for each in root.iter("TIME_SLOT")}
    types = {each.attrib["LINGUISTIC_TYPE_ID"]: each.attrib for each in root.iter("LINGUISTIC_TYPE")}
    rules = {each.attrib["STEREOTYPE"] for each in root.iter("CONSTRAINT")}
    times: dict[str, tuple[int, int]] = {}
    tiers: dict[str, list[tuple[int, int, str]]] = {}
    for tier in root.iter("TIER"):
        kind = types[tier.attrib["LINGUISTIC_TYPE_REF"]]
        assert tier.attrib.get("PARENT_REF", next(iter(tiers), "")) in tiers or "PARENT_REF" not in tier.attrib
        assert kind.get("CONSTRAINTS", "Symbolic_Association") in rules or "CONSTRAINTS" not in kind
        rows = tiers.setdefault(tier.attrib["TIER_ID"], [])
        for annotation in tier.iter("ANNOTATION"):
            (element,) = annotation
            assert element.attrib["ANNOTATION_ID"] not in times
            if element.tag == "ALIGNABLE_ANNOTATION":
                start, stop = (slots[element.attrib[f"TIME_SLOT_REF{number}"]] for number in (1, 2))
                assert start < stop
            else:
                start, stop = times[element.attrib["ANNOTATION_REF"]]
            times[element.attrib["ANNOTATION_ID"]] = (start, stop)
            rows.append((start, stop, element.findtext("ANNOTATION_VALUE", "")))
    return tiers


def test_an_elan_document_has_a_tier_for_each_person_and_finds_the_video(tmp_path: Path) -> None:
    video = tmp_path / "my talk & more.mp4"
    video.write_bytes(b"")
    people = [
        make_person([(60, 64, HAPPY), (62, 66, SAD)], video=video.name),
        make_person([(61, 63, SAD)], person=1, video=video.name),
    ]
    (tmp_path / "out").mkdir()
    write_predictions_file(people, tmp_path / "out/t.eaf", video)
    assert read_tiers(tmp_path / "out/t.eaf") == {
        "person 1": [(60000, 64000, "happy"), (64000, 66000, "sad")],
        "person 1 probability": [(60000, 64000, "0.73"), (64000, 66000, "0.80")],
        "person 2": [(61000, 63000, "sad")],
        "person 2 probability": [(61000, 63000, "0.80")],
    }
    media = ElementTree.parse(tmp_path / "out/t.eaf").getroot().find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib == {
        "MEDIA_URL": f"file://{video}",
        "MIME_TYPE": "video/mp4",
        "RELATIVE_MEDIA_URL": "../my talk & more.mp4",
    }
    write_predictions_file(people, tmp_path / "shards.eaf", tmp_path / "out")
    media = ElementTree.parse(tmp_path / "shards.eaf").getroot().find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib["RELATIVE_MEDIA_URL"] == "./my talk & more.mp4", "of shards only the name is known"


def test_an_elan_document_has_the_video_s_path_as_it_is(tmp_path: Path) -> None:
    """White space stays, and only what XML 1.0 forbids is replaced: control characters, bytes that are not UTF-8."""
    for name, written in [
        ("two  spaces\u00a0.mp4",) * 2,
        ("line\nbreak\t.mp4",) * 2,
        ("a\x0b\udcff.mp4", "a\ufffd\ufffd.mp4"),
    ]:
        (tmp_path / name).write_bytes(b"")
        person = make_person([(0, 1, HAPPY)], video=name)
        write_predictions_file([person], tmp_path / "t.eaf", tmp_path / name)
        media = ElementTree.parse(tmp_path / "t.eaf").getroot().find("HEADER/MEDIA_DESCRIPTOR")
        assert media is not None
        assert media.attrib["MEDIA_URL"] == f"file://{tmp_path}/{written}"
        assert media.attrib["RELATIVE_MEDIA_URL"] == f"./{written}"


def test_labels_cannot_break_a_format(tmp_path: Path) -> None:
    label = 'a --> b, "c" <i>&amp;\n\n\x0bd'
    person = make_person([(0, 1, HAPPY)], names=(label, "sad"))
    for ending in ("srt", "vtt", "eaf", "csv"):
        write_predictions_file([person], tmp_path / f"t.{ending}", Path("talk.mp4"))
    assert (tmp_path / "t.srt").read_text().splitlines()[2:] == ['a --› b, "c" ‹i›&amp; d 0.90']
    assert (tmp_path / "t.vtt").read_text().splitlines()[-1] == 'a --&gt; b, "c" &lt;i&gt;&amp;amp; d 0.90'
    assert read_tiers(tmp_path / "t.eaf")["person 1"] == [(0, 1000, 'a --> b, "c" <i>&amp; d')]
    with (tmp_path / "t.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["best"] == 'a --> b, "c" <i>&amp;   d', "line breaks are spaces"


def test_tables_hold_no_formulas(tmp_path: Path) -> None:
    names = ('=HYPERLINK("http://x")', "+1", "@SUM(A1)", "\t=1", "-1", "a=1")
    person = make_person([(0, 1, (0.5, 0.1, 0.1, 0.1, 0.1, 0.1))], names=names, video="=1+1.mp4")
    write_predictions_file([person], tmp_path / "t.csv", Path("talk.mp4"))
    with (tmp_path / "t.csv").open(newline="") as file:
        head, row = csv.reader(file)
    assert head[6:] == [f"'{name}" for name in names[:4]] + ["-1", "a=1"]
    assert (row[1], row[5]) == ("'=1+1.mp4", f"'{names[0]}")


def test_of_several_videos_each_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = ["a/talk.mp4", "a/talk.mov", "../other.mp4"]
    people = [make_person([(0, 1, HAPPY)], video=name) for name in names]
    assert write_predictions_file(people, tmp_path / "talks.srt", tmp_path) == tmp_path / "talks"
    files = {path.name for path in (tmp_path / "talks").iterdir()}
    assert files == {"a_talk.mp4.srt", "a_talk.mov.srt", "_other.mp4.srt"}
    assert write_predictions_file(people[::2], tmp_path / "two.vtt", tmp_path) == tmp_path / "two"
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"talk.vtt", "other.vtt"}


def test_a_folder_of_several_videos_keeps_other_files_and_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    people = [make_person([(0, 1, HAPPY)], video=name) for name in ("a.mp4", "b.mp4")]
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks/notes.txt").write_text("old")
    require_outputs([tmp_path / "talks.srt"], tmp_path)
    for _ in range(2):  # the second time over its own files
        write_predictions_file(people, tmp_path / "talks.srt", tmp_path)
    assert (tmp_path / "talks/notes.txt").read_text() == "old"
    assert (tmp_path / "talks/a.srt").read_text() == (tmp_path / "talks/b.srt").read_text() != ""
    (tmp_path / "talks/a.srt").write_text("subtitles of a person")
    with pytest.raises(UserError, match=r"a\.srt: is there already and is not subtitles of predictions"):
        write_predictions_file(people, tmp_path / "talks.srt", tmp_path)
    assert (tmp_path / "talks/a.srt").read_text() == "subtitles of a person"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file"):
        require_outputs([tmp_path / "file.csv", tmp_path / "file.eaf"], tmp_path)
    with pytest.raises(UserError, match=r"written into .*talks, which is the input"):
        require_outputs([tmp_path / "talks.vtt"], tmp_path / "talks")
    require_outputs([tmp_path / "file.csv"], tmp_path)
    require_outputs([tmp_path / "file.eaf"], tmp_path / "file")  # one video needs no folder


def test_the_summary_has_a_line_for_each_person_whatever_the_length(capsys: pytest.CaptureFixture[str]) -> None:
    windows = [(0.64 * n, 0.64 * n + 2.56, HAPPY if n < 600 else SAD) for n in range(934)]
    print_predictions([make_person(windows)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["talk.mp4", "1", "599.7", "happy", "64", "%,", "sad", "36", "%"]
    assert len(lines) == 2
    print_predictions([make_person([(0, 1, (0.5,)), (1, 2, (0.7,))], names=("valence",), classes=False)] * 30)
    lines = capsys.readouterr().out.splitlines()
    assert "valence 0.60 (0.50 to 0.70)" in lines[1]
    assert lines[-1] == "and 10 more people: --out all.csv has everybody"
