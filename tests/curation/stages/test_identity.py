"""A jump of the embeddings that stays is another person; where it happens is told to the frame."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from avf_curation.stages.identity import Identity, decide, measure, split_at_change
from avf_curation.stages.tracking import SpanPart
from avf_shards.errors import UserError
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.track
Floats = npt.NDArray[np.float64]
NOISE = 0.01  # of each number of an embedding: two faces of one person are 0.16 apart


class People:
    """Embeds the person that each frame shows: 0.62 apart from the others, with noise."""

    def __init__(self, people_T: Sequence[int]) -> None:
        self.people_T = people_T
        self.asked: list[int] = []

    def __call__(self, frames: Sequence[int]) -> Floats:
        self.asked += frames
        rows = []
        for frame in frames:
            person = np.zeros(128)
            person[self.people_T[frame]] = 0.44
            rows.append(person + np.random.default_rng(frame).normal(0, NOISE, 128))
        return np.stack(rows)


@pytest.mark.parametrize("frames", [50, 75, 200, 375])
@pytest.mark.parametrize("share", [0.35, 0.5, 0.65])
def test_another_person_is_told_to_the_frame(frames: int, share: float) -> None:
    cut = round(frames * share)
    identity = measure(frames, People([0] * cut + [1] * (frames - cut)), CONFIG)
    assert 0.4 < identity.jump < 0.65
    assert identity.change == Span(cut - 2, cut + 2)
    assert [check.passed for check in decide(identity, CONFIG)] == [False]


def test_a_person_who_comes_and_goes_is_seen() -> None:
    identity = measure(300, People([0] * 120 + [1] * 80 + [0] * 100), CONFIG)
    assert identity.jump > CONFIG.max_identity_jump
    assert identity.change in (Span(118, 122), Span(198, 202))


def test_one_person_is_one_clip() -> None:
    for frames in (1, 2, 10, 40, 200, 375):
        identity = measure(frames, People([0] * frames), CONFIG)
        assert identity.jump < 0.1
        assert identity.change.frames == 0
        assert [check.passed for check in decide(identity, CONFIG)] == [True]


def test_single_frames_that_differ_are_no_other_person() -> None:
    people = [0] * 200
    people[100] = 1  # a sample
    assert measure(200, People(people), CONFIG).jump < 0.1
    people = [frame // 50 % 2 if frame % 50 < 10 else 0 for frame in range(200)]
    assert measure(200, People(people), CONFIG).jump < CONFIG.max_identity_jump


def test_noise_that_is_as_large_as_the_jump_is_no_jump() -> None:
    rng = np.random.default_rng(0)
    people = rng.integers(0, 5, 200).tolist()
    assert measure(200, People(people), CONFIG).jump < CONFIG.max_identity_jump


def test_the_faces_are_as_far_apart_as_the_recipe_says() -> None:
    people = People([0] * 250)
    measure(250, people, CONFIG)
    assert len(people.asked) == 11
    assert (people.asked[0], people.asked[-1]) == (0, 249)
    dense = People([0] * 250)
    measure(250, dense, make_recipe("track.identity_s=0.5").defaults.track)
    assert len(dense.asked) == 21
    with pytest.raises(UserError, match="identity_s 0"):
        make_recipe("track.identity_s=0")


def test_a_span_is_cut_on_either_side_of_the_change() -> None:
    span = Span(100, 300)
    assert split_at_change(Identity(jump=0.0), span) == [SpanPart(span=span, is_change=False)]
    assert split_at_change(Identity(jump=0.5, change=Span(80, 84)), span) == [
        SpanPart(span=Span(100, 180), is_change=False),
        SpanPart(span=Span(180, 184), is_change=True),
        SpanPart(span=Span(184, 300), is_change=False),
    ]
    at_start = split_at_change(Identity(jump=0.5, change=Span(0, 4)), span)
    assert [(part.span, part.is_change) for part in at_start] == [(Span(100, 104), True), (Span(104, 300), False)]
