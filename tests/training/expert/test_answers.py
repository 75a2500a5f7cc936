"""Prompts are the same for all, answers belong to their set, and a scripted language model gets its known scores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_shards.errors import FaultError, UserError
from avf_training.cli.main import main
from avf_training.evaluation.metrics import macro_f1, uar, war
from avf_training.expert.answer_file import parse_answer, read_answer_file
from avf_training.expert.answer_scores import answer_metrics, score_answers
from avf_training.expert.prompt_set import PromptedClip, PromptSet, read_prompt_set
from avf_training.expert.prompts import shuffled_clips
from PIL import Image
from support.expert_runs import write_fold_runs
from support.labelled import make_dataset, make_label_rows, make_labelled_shards

Answerer = Callable[[dict[str, Any]], str | None]
LABELS = ("negative", "positive", "surprise")


def make_prompt_set(people: int = 12, right: float = 0.8) -> PromptSet:
    """Return a set of 6 clips of each person, two of each label, for which the expert is right in a share of clips."""
    draw = np.random.default_rng(3)
    keys = [f"k{person:02d}-{clip}" for person in range(people) for clip in range(6)]
    other_of = shuffled_clips(dict.fromkeys(keys))
    clips = []
    for position, key in enumerate(keys):
        truth = position % 3
        named = truth if draw.random() < right else (truth + 1) % 3
        scores = tuple(0.7 if index == named else 0.15 for index in range(3))
        clips.append(
            PromptedClip(
                key=key, fold=1, truth=truth, scores=scores, shuffled_key=other_of[key], unit=key[:3], pictures=()
            )
        )
    return PromptSet(dataset="d", labels=LABELS, question="Which?", protocol="validation", clips=tuple(clips))


def ask(prompts: PromptSet, answerer: Answerer) -> dict[str, str]:
    return {prompt["id"]: answerer(prompt) or "" for prompt in prompts.prompts()}


def parrot(prompt: dict[str, Any]) -> str:
    """Repeat the first label of the expert's answer in the prompt, or say the first label where there is none."""
    _, shown, answer = prompt["prompt"].partition("may be wrong: ")
    return f"The answer is {answer.split()[0]}." if shown else "negative"


def test_a_parrot_agrees_with_the_expert_and_falls_to_chance_when_shuffled() -> None:
    prompts = make_prompt_set()
    result = score_answers(prompts, ask(prompts, parrot))
    scores = result.scores
    assert scores["with"].agreement == scores["with"].agreement_with_shown == 1.0
    assert scores["with"].metrics == scores["expert"].metrics
    assert scores["with"].metrics["ACC"] > 0.7
    assert scores["shuffled"].agreement_with_shown == 1.0
    assert scores["shuffled"].agreement is not None
    assert scores["shuffled"].agreement < 0.6
    assert abs(scores["shuffled"].metrics["ACC"] - 1 / 3) < 0.15
    assert scores["without"].metrics["ACC"] == pytest.approx(1 / 3)
    assert scores["without"].metrics["UF1"] == pytest.approx(1 / 6), "one class of three: F1 0.5, and two of 0"
    difference = {(each.second, each.metric): each for each in result.differences}
    low, high = difference["without", "ACC"].low, difference["without", "ACC"].high
    assert low is not None
    assert high is not None
    assert 0 < low < difference["without", "ACC"].difference < high
    same = difference["expert", "ACC"]
    assert (same.difference, same.low, same.high) == (0, 0, 0), "people are drawn alike for each"


def test_answers_that_say_nothing_count_as_wrong() -> None:
    prompts = make_prompt_set()
    garbage = score_answers(prompts, ask(prompts, lambda prompt: "I cannot tell, positive or negative."))
    assert garbage.scores["with"].unparsable == len(prompts.clips)
    assert set(garbage.scores["with"].metrics.values()) == {0.0}
    half = ask(prompts, lambda prompt: parrot(prompt) if prompt["clip"][-1] in "024" else "?")
    scores = score_answers(prompts, half).scores
    assert scores["with"].unparsable == len(prompts.clips) // 2
    assert scores["with"].metrics["ACC"] < 0.5


def test_few_people_give_no_interval() -> None:
    prompts = make_prompt_set(people=4)
    assert all(each.low is None for each in score_answers(prompts, ask(prompts, parrot)).differences)


def test_metrics_are_those_of_evaluation() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        counts = draw.integers(0, 3, (4, 5))
        counts[draw.integers(4)] = 0  # a class without clips
        counts[0, 0] += 1
        values = answer_metrics(counts)
        square = np.vstack([counts, np.zeros((1, 5), np.int64)])
        assert values["ACC"] == pytest.approx(war(square).value)
        assert values["UAR"] == pytest.approx(uar(square).value)
        parsed = counts.copy()
        parsed[:, 4] = 0
        if not counts[:, 4].any():
            assert values["UF1"] == pytest.approx(macro_f1(parsed[:, :4]).value)
    # Two clips of class 0, one parsed; F1 = 2 / (2 + 0 + 1). Class 1: 1.
    assert answer_metrics(np.array([[1, 0, 1], [0, 1, 0]]))["UF1"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("surprise", "surprise"),
        ("  **Surprise**.\n", "surprise"),
        ("It is not clear, but the face shows surprise", "surprise"),
        ("negative? No. Answer: positive", "positive"),
        ("It could be negative or positive. The emotion is **negative**", "negative"),
        ('{"answer": "negative"}', "negative"),
        ("negative or positive", None),
        ("answer: negative, answer: positive", None),
        ("surprised", None),
        ("", None),
        ("joy", None),
    ],
)
def test_an_answer_means_the_label_that_it_names(text: str, label: str | None) -> None:
    index = parse_answer(text, LABELS)
    assert (None if index is None else LABELS[index]) == label


def test_labels_of_several_words_are_read() -> None:
    labels = ("anger", "anger_anxiety", "sad")
    assert parse_answer("Anger Anxiety", labels) == 1
    assert parse_answer("anger-anxiety", labels) == 1
    assert parse_answer("anger", labels) == 0
    assert parse_answer("anger and sad", labels) is None


def test_shuffling_gives_each_answer_to_another_clip_once() -> None:
    keys = [f"k{number}" for number in range(9)]
    other_of = shuffled_clips(dict.fromkeys(keys))
    assert sorted(other_of.values()) == keys
    assert all(key != other for key, other in other_of.items())
    assert shuffled_clips(dict.fromkeys(reversed(keys))) == other_of


def write_answers(path: Path, folder: Path, answerer: Answerer) -> Path:
    """Answer the prompts of a folder as a language model would."""
    lines = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    rows = [{"prompt_set": line["prompt_set"], "id": line["id"], "answer": answerer(line)} for line in lines]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts about 12 clips of 6 people, from two folds."""
    folder = tmp_path_factory.mktemp("prompts")
    shards = make_labelled_shards(folder, {"lab": make_label_rows(6, 1)})
    write_fold_runs(folder / "folds", make_dataset(), shards)
    argv = ["expert", "prompts", str(folder / "folds"), "--shards", str(shards), "--out", str(folder / "out")]
    assert main(argv) == 0
    again = [*argv[:-1], str(folder / "again")]
    assert main(again) == 0
    assert (folder / "again/prompts.jsonl").read_bytes() == (folder / "out/prompts.jsonl").read_bytes()
    return folder / "out"


def test_prompts_show_pictures_and_hide_the_truth(prompts: Path) -> None:
    lines = [json.loads(line) for line in (prompts / "prompts.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * 12
    assert {line["variant"] for line in lines} == {"with", "without", "shuffled"}
    assert all(line.keys() == {"prompt_set", "id", "clip", "variant", "prompt", "images"} for line in lines)
    without = next(line for line in lines if line["variant"] == "without")
    assert without["prompt"] == (
        "These 3 pictures are frames, in order of time, of a short video of a face.\n"
        "Which emotion does the person show?\nAnswer with one of these words alone: left, right."
    )
    stored = read_prompt_set(prompts)
    frames = [picture.frame for picture in stored.clips[0].pictures]
    assert frames == [0, 32, 63], "first, middle and last of 64"
    with Image.open(prompts / without["images"][0]) as picture:
        assert picture.size[0] == picture.size[1] > 32
    for line in lines:
        if line["variant"] == "with":
            clip = next(each for each in stored.clips if each.key == line["clip"])
            assert f"{stored.labels[clip.expert]} {max(clip.scores):.2f}" in line["prompt"]


def test_the_command_scores_a_file_of_answers(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_answers(tmp_path / "a.jsonl", prompts, parrot_of_the_lab)
    assert main(["expert", "score", str(prompts), str(path)]) == 0
    out = capsys.readouterr().out
    assert "lab: 12 clips of 6 people, percent" in out
    assert "with - without: UF1" in out
    assert main(["expert", "score", str(prompts), str(path), "--json", "-"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["scores"]["with"]["agreement"] == 1.0
    assert values["scores"]["expert"]["metrics"] == values["scores"]["with"]["metrics"]


def parrot_of_the_lab(prompt: dict[str, Any]) -> str:
    _, shown, answer = prompt["prompt"].partition("may be wrong: ")
    return answer.split()[0] if shown else "left"


def test_answers_of_another_set_are_refused(prompts: Path, tmp_path: Path) -> None:
    other = make_prompt_set()
    path = write_answers(tmp_path / "a.jsonl", prompts, parrot_of_the_lab)
    with pytest.raises(UserError, match=r"a\.jsonl:1: answers the prompt set .+ score it against the folder"):
        read_answer_file(path, other)
    stored = json.loads((prompts / "prompt_set.json").read_text())
    changed = tmp_path / "changed"
    changed.mkdir()
    stored["clips"][0]["truth"] = 1 - stored["clips"][0]["truth"]
    (changed / "prompt_set.json").write_text(json.dumps(stored))
    with pytest.raises(FaultError, match="was changed after it was written"):
        read_prompt_set(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], "has no answer for .+ count those as wrong with --missing wrong"),
        (lambda lines: [*lines, lines[0]], "a second time"),
        (lambda lines: [lines[0].replace(":with", ":never"), *lines[1:]], "has no prompt '"),
    ],
)
def test_files_of_answers_are_checked(
    prompts: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    path = write_answers(tmp_path / "a.jsonl", prompts, parrot_of_the_lab)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(UserError, match=message):
        read_answer_file(path, read_prompt_set(prompts))


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "x"}', '{"prompt_set": "x", "id": 1, "answer": "a"}', "\xff"])
def test_lines_that_are_no_answers_are_damaged(prompts: Path, tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line.encode("latin-1"))
    with pytest.raises(FaultError, match=r"a\.jsonl"):
        read_answer_file(path, read_prompt_set(prompts))


def test_missing_answers_may_count_as_wrong(prompts: Path, tmp_path: Path) -> None:
    path = write_answers(tmp_path / "a.jsonl", prompts, parrot_of_the_lab)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[3:]))
    stored = read_prompt_set(prompts)
    answers = read_answer_file(path, stored, missing_is_wrong=True)
    assert score_answers(stored, answers).scores["with"].unparsable == 1


def test_conversations_for_fine_tuning_tools_have_the_clips_of_a_part(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = read_prompt_set(prompts)
    counts = {}
    for part in ("train", "test"):
        out = tmp_path / f"{part}.jsonl"
        argv = ["expert", "export", str(prompts), "--fold", "1", "--part", part, "--out", str(out)]
        assert main(argv) == 0
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        counts[part] = len(lines)
        for line in lines:
            user, assistant = line["messages"]
            assert (user["role"], assistant["role"]) == ("user", "assistant")
            assert user["content"].count("<image>") == len(line["images"]) == 3
            assert all(Path(image).is_file() for image in line["images"])
            key = Path(line["images"][0]).name.rpartition("-")[0]
            clip = next(each for each in stored.clips if each.key == key)
            assert assistant["content"] == stored.labels[clip.truth]
            assert (clip.fold == 1) == (part == "test")
        assert main(argv) == 0, "its own file is replaced"
    assert counts == {"train": 6, "test": 6}
    capsys.readouterr()
    assert main(["expert", "export", str(prompts), "--fold", "9", "--part", "test", "--out", str(tmp_path / "x")]) == 2
    assert "--fold 9: no clip to test on; the expert's answers are of the folds 1, 2" in capsys.readouterr().err


def test_bad_options_end_with_a_sentence(prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["expert", "prompts", "runs", "--shards", "S", "--out"]
    assert main([*base, str(prompts)]) == 2
    assert "is there already; name a new folder" in capsys.readouterr().err
    assert main([*base, str(tmp_path / "o"), "--frames", "0"]) == 2
    assert "--frames 0 must be at least 1" in capsys.readouterr().err
    assert main(["expert", "score", str(tmp_path), "a.jsonl"]) == 2
    assert "holds no prompt_set.json" in capsys.readouterr().err


def test_an_answer_may_hold_every_end_of_line_that_json_allows(prompts: Path, tmp_path: Path) -> None:
    stored = read_prompt_set(prompts)
    text = "It is\u2028left\u0085.\u2029"
    lines = [
        json.dumps({"prompt_set": stored.digest(), "id": prompt["id"], "answer": text}, ensure_ascii=False)
        for prompt in stored.prompts()
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes("\r\n".join(lines).encode())
    assert set(read_answer_file(path, stored).values()) == {text}


def test_a_part_without_its_fold_is_refused(prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "test.jsonl"
    assert main(["expert", "export", str(prompts), "--part", "test", "--out", str(out)]) == 2
    assert "--part test: is the part of a fold; name it with --fold N" in capsys.readouterr().err
    assert not out.exists(), "it would hold the clips of all folds"
