"""What was forged in a clip is said on its own clock, and survives JSON."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from avf_shards.errors import FaultError
from avf_shards.schema.fields import Fields
from avf_shards.schema.forgery import ForgedSegment, Forgery
from avf_shards.schema.labels import Labels

WORD = ForgedSegment(start_s=4.4, stop_s=4.64, kind="audio", method="yourtts")
LIPS = ForgedSegment(start_s=4.5, stop_s=5.0, kind="video")
FILM = Forgery(is_fake=True, original="id1/real", kind="both", method="talklip", segments=(WORD, LIPS))
UNTIMED = Forgery(is_fake=True, original="a", kind="video", segments=None)
REAL = Forgery(is_fake=False, original="a")


def as_json(forgery: Forgery) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(forgery.to_json()))
    return values


@pytest.mark.parametrize("forgery", [FILM, UNTIMED, REAL])
def test_json_keeps_everything(forgery: Forgery) -> None:
    labels = Labels(values={"label": "fake"}, forgery=forgery)
    assert Labels.from_json(Fields(json.loads(json.dumps(labels.to_json())), "record: labels")) == labels


def test_labels_without_a_truth_keep_their_bytes() -> None:
    assert "forgery" not in Labels(values={"emotion": "happy"}).to_json()


@pytest.mark.parametrize(
    ("start_s", "stop_s", "seconds"),
    [(0, 9, 0.6), (0, 4.4, 0), (4.6, 4.9, 0.3), (4.4, 4.45, 0.05), (5, 9, 0), (4.99, 9, 0.01)],
)
def test_overlapping_segments_count_once(start_s: float, stop_s: float, seconds: float) -> None:
    assert FILM.forged_seconds(start_s, stop_s) == pytest.approx(seconds)
    reverse = Forgery(is_fake=True, original="a", segments=(LIPS, WORD))
    assert reverse.forged_seconds(start_s, stop_s) == pytest.approx(seconds)


def test_one_kind_alone_is_asked_for() -> None:
    assert FILM.forged_seconds(0, 9, ("audio",)) == pytest.approx(0.24)
    assert FILM.forged_seconds(0, 9, ("video",)) == pytest.approx(0.5)
    assert UNTIMED.forged_seconds(1, 3.5) == 2.5
    assert UNTIMED.forged_seconds(1, 3.5, ("audio",)) == 0
    assert Forgery(is_fake=True, original="a", segments=None).forged_seconds(1, 3.5, ("audio",)) == 2.5
    assert REAL.forged_seconds(0, 9) == 0


def test_a_clip_has_its_own_segments_on_its_own_clock() -> None:
    cut = FILM.cut(4.6, 8)
    assert cut.segments is not None
    assert [(part.start_s, part.stop_s, part.kind) for part in cut.segments] == [(0, 0.04, "audio"), (0, 0.4, "video")]
    assert (cut.is_fake, cut.original, cut.method) == (True, "id1/real", "talklip")
    assert FILM.cut(0, 4.4).segments == ()
    assert FILM.cut(0, 9) == FILM
    assert UNTIMED.cut(1, 2) == UNTIMED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_fake": None}, "is_fake must be true or false"),
        ({"is_fake": False}, "segments must be an empty list"),
        ({"kind": "sound"}, "kind must be one of audio, video, both, and is 'sound'"),
        ({"original": 3}, "original must be text"),
        ({"segments": [{"start_s": 1, "stop_s": 1, "kind": "audio"}]}, "from 1 to 1 s"),
        ({"segments": [{"start_s": -1, "stop_s": 1, "kind": "audio"}]}, "from -1 to 1 s"),
        ({"segments": [{"start_s": 0, "stop_s": 1}]}, "is of None from 0 to 1 s"),
        ({"segments": [7]}, "must be a JSON object, and is 7"),
    ],
)
def test_a_bad_truth_is_refused_with_its_field(change: Mapping[str, Any], message: str) -> None:
    with pytest.raises(FaultError, match=message):
        Forgery.from_json(Fields({**as_json(FILM), **change}, "record: forgery"))
