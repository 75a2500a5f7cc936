"""Counts and durations are worded as people say them."""

from avf_shards.text import count_noun, format_wait


def test_a_wait_is_told_in_the_unit_that_people_wait_in() -> None:
    assert [format_wait(seconds) for seconds in (40, 100, 3000, 11_500)] == ["40 s", "2 min", "50 min", "3.2 h"]


def test_a_noun_agrees_with_its_count() -> None:
    assert [count_noun(count, "clip") for count in (0, 1, 2000)] == ["0 clips", "1 clip", "2,000 clips"]
