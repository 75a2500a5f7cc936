"""A list of files gets a score in each line; what has none, fits two, or is listed twice is refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.inference.file_scores import answer_list, pool_files, read_file_list, write_file_scores
from avf_training.inference.person_prediction import PersonPrediction, WindowPrediction


def _person(path: str, *fakes: float) -> PersonPrediction:
    windows = tuple(
        WindowPrediction(key="k", start_s=1.28 * n, stop_s=1.28 * n + 2.56, scores=(1 - fake, fake))
        for n, fake in enumerate(fakes)
    )
    return PersonPrediction(
        source="s",
        video_id=path,
        path=path,
        person=0,
        names=("real", "fake"),
        classes=True,
        windows=windows,
        pool="max",
    )


def test_a_file_is_pooled_over_all_its_people() -> None:
    people = [_person("a/x.mp4", 0.2, 0.3), _person("a/x.mp4", 0.9), _person("a/y.mp4", 0.1)]
    assert pool_files(people) == {"a/x.mp4": 0.9, "a/y.mp4": 0.1}


def test_a_listed_file_is_found_by_the_end_of_its_path() -> None:
    scores = {"val/id1/00001/real.mp4": 0.1, "val/id1/00002/real.mp4": 0.6, "z.mp4": 0.3}
    answers = answer_list(["id1/00002/real.mp4", "test/z.mp4"], scores)
    assert answers.score_of == {"id1/00002/real.mp4": 0.6, "test/z.mp4": 0.3}
    assert answers.unlisted == 1
    with pytest.raises(UserError, match=r"real.mp4: fits val/id1/00001/real.mp4 and val/id1/00002/real.mp4"):
        answer_list(["real.mp4"], scores)


def test_two_listed_files_do_not_share_a_score() -> None:
    with pytest.raises(UserError, match=r"a/x.mp4 and b/x.mp4: are two listed files, and x.mp4 is the only predicted"):
        answer_list(["a/x.mp4", "b/x.mp4"], {"x.mp4": 0.9})
    assert answer_list(["a/x.mp4", "b/x.mp4"], {"a/x.mp4": 0.9, "b/x.mp4": 0.1}).score_of["b/x.mp4"] == 0.1


def test_files_of_one_name_in_two_sources_are_not_pooled() -> None:
    people = [_person("a.mp4", 0.9), replace(_person("a.mp4", 0.1), source="other")]
    with pytest.raises(UserError, match=r"a.mp4: is a file of two sources, s and other"):
        pool_files(people)


def test_absent_files_have_the_stated_score() -> None:
    scores = {"a": 0.2, "b": 0.4, "c": 0.9}
    with pytest.raises(UserError, match="gone: has no prediction, as 1 of 4 listed files"):
        answer_list(["a", "b", "c", "gone"], scores)
    answers = answer_list(["a", "gone", "b", "c"], scores, "median")
    assert list(answers.score_of) == ["a", "gone", "b", "c"]
    assert (answers.score_of["gone"], answers.filled) == (0.4, ("gone",))
    assert answers.rule == "the median of the others, 0.400000"
    assert answer_list(["a", "gone"], scores, "1").score_of["gone"] == 1
    for rule in ("2", "mean", "nan"):
        with pytest.raises(UserError, match=f"--absent {rule}: must be refuse, median or a number from 0 to 1"):
            answer_list(["a"], scores, rule)
    with pytest.raises(UserError, match="none of 2 listed files has a prediction, as x; the first file that has: a"):
        answer_list(["x", "y"], scores, "median")


def test_a_list_is_read_and_a_submission_written_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\N{BYTE ORDER MARK}b.mp4\r\n\n a.mp4 \n", "utf-8")
    assert read_file_list(path) == ["b.mp4", "a.mp4"]
    write_file_scores(tmp_path / "out.txt", answer_list(["b.mp4", "a.mp4"], {"a.mp4": 1.0, "b.mp4": 1 / 3}))
    assert (tmp_path / "out.txt").read_text() == "b.mp4;0.333333\na.mp4;1.000000\n"
    path.write_text("a\nb\na\n")
    with pytest.raises(UserError, match="line 3: a is in line 1 already"):
        read_file_list(path)
    path.write_text("\n")
    with pytest.raises(UserError, match="lists no file"):
        read_file_list(path)
