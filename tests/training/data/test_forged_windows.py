"""A window's truth follows from segments by hand, and half of a fake's windows lie on one, by the position alone."""

from dataclasses import replace
from typing import Any

import pytest
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.schema.forgery import ForgedKind, ForgedSegment, Forgery
from avf_shards.schema.labels import Labels
from avf_training.data.augment_config import AugmentConfig, MixConfig
from avf_training.data.finetuning_sampler import FinetuningSampler
from avf_training.data.forged_windows import FAKE_WINDOW, REAL_WINDOW, ForgedWindows
from avf_training.models.config import Geometry
from support.records import make_clip_record

WINDOW_S = 2.56
FRAMES = 16
TOTAL = 25 * 20  # frames of the clip


def _record(*segments: tuple[float, float, ForgedKind], **changes: Any) -> ClipRecord:
    listed = tuple(ForgedSegment(start_s=start, stop_s=stop, kind=kind) for start, stop, kind in segments)
    forgery = replace(Forgery(is_fake=True, original="a", segments=listed), **changes)
    labels = Labels(values={"label": "fake" if forgery.is_fake else "real"}, forgery=forgery)
    return replace(make_clip_record("x-0123456789abcdef-000000-000500-0"), labels=labels)


@pytest.mark.parametrize(
    ("start_frame", "truth"),
    [
        (0, (REAL_WINDOW, 1.0)),  # [0, 2.56)
        (50, (REAL_WINDOW, 1.0)),  # [2, 4.56)
        (62, (REAL_WINDOW, 0.0)),  # [2.48, 5.04) grazes [5, 6) by 0.04
        (63, (REAL_WINDOW, 0.0)),  # by 0.08
        (64, (FAKE_WINDOW, 1.0)),  # by 0.12
        (125, (FAKE_WINDOW, 1.0)),
        (147, (FAKE_WINDOW, 1.0)),  # [5.88, 8.44)
        (148, (REAL_WINDOW, 0.0)),
        (150, (REAL_WINDOW, 1.0)),
    ],
)
def test_the_truth_of_a_window_is_its_overlap_with_segments(start_frame: int, truth: tuple[int, float]) -> None:
    windows = ForgedWindows(modalities="av")
    assert windows.truth(_record((5.0, 6.0, "both")), start_frame, FRAMES) == truth
    assert windows.truth(_record((5.0, 5.5, "audio"), (5.4, 6.0, "video")), start_frame, FRAMES) == truth


def test_reals_are_real_and_fakes_without_times_fake_from_start_to_end() -> None:
    windows = ForgedWindows(modalities="av")
    assert windows.truth(_record(is_fake=False), 0, FRAMES) == (REAL_WINDOW, 1.0)
    assert windows.truth(_record(segments=None), 300, FRAMES) == (FAKE_WINDOW, 1.0)
    assert windows.truth(_record(), 0, FRAMES) == (REAL_WINDOW, 1.0)  # a clip of a fake without a forged second


def test_only_what_a_model_sees_or_hears_is_fake_to_it() -> None:
    record = _record((5.0, 6.0, "audio"))
    assert ForgedWindows(modalities="v").truth(record, 125, FRAMES) == (REAL_WINDOW, 1.0)
    assert ForgedWindows(modalities="a").truth(record, 125, FRAMES) == (FAKE_WINDOW, 1.0)
    # Its times are not published: whether a window shows it, nobody knows.
    assert ForgedWindows(modalities="v").truth(_record(segments=None, kind="audio"), 0, FRAMES)[1] == 0
    assert _starts(record, ForgedWindows(modalities="v")) == _starts(record, None)


def test_a_record_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say whether it is real or fake"):
        ForgedWindows(modalities="av").truth(make_clip_record("x-0123456789abcdef-000000-000500-0"), 0, FRAMES)


def _starts(record: ClipRecord, forged: ForgedWindows | None, total: int = TOTAL) -> list[int]:
    sampler = FinetuningSampler(
        geometry=Geometry(), augment=AugmentConfig(), mix=MixConfig(probability=0.0), forged=forged
    )
    return [sampler.sample("digest", 0, position, total, record).start_frame for position in range(400)]


def test_half_of_the_windows_of_a_fake_lie_on_a_segment() -> None:
    windows, record = ForgedWindows(modalities="av"), _record((9.0, 9.2, "both"))
    starts = _starts(record, windows)
    by_chance = _starts(record, None)
    moved = sum(a != b for a, b in zip(starts, by_chance, strict=True))
    assert 0.42 < moved / len(starts) < 0.58
    fake = sum(windows.truth(record, start, FRAMES)[0] for start in starts) / len(starts)
    assert 0.5 < fake < 0.7  # half, and those that meet it by chance
    everywhere = set(_starts(record, ForgedWindows(modalities="av", share=1.0)))
    # The windows that cover 0.12 s of [9, 9.2): from [6.56, 9.12) to [9.08, 11.64).
    assert (min(everywhere), max(everywhere)) == (164, 227)
    assert all(windows.truth(record, start, FRAMES) == (FAKE_WINDOW, 1.0) for start in everywhere)


def test_a_segment_at_either_end_of_the_clip_is_drawn_inside_of_it() -> None:
    windows = ForgedWindows(modalities="av", share=1.0)
    for segment in ((0.0, 0.2, "both"), (19.8, 20.0, "both")):
        starts = _starts(_record(segment), windows)
        assert 0 <= min(starts) <= max(starts) <= TOTAL - 64
        assert all(windows.truth(_record(segment), start, FRAMES)[0] == FAKE_WINDOW for start in starts)
    assert set(_starts(_record((0.5, 1.0, "both")), windows, total=40)) == {0}  # shorter than a window


def test_a_window_depends_on_the_position_alone() -> None:
    record, windows = _record((5.0, 6.0, "both"), (12.0, 13.0, "video")), ForgedWindows(modalities="av")
    sampler = FinetuningSampler(geometry=Geometry(), forged=windows)
    forwards = [sampler.sample("digest", 2, position, TOTAL, record) for position in range(20)]
    backwards = [sampler.sample("digest", 2, position, TOTAL, record) for position in reversed(range(20))]
    assert forwards == backwards[::-1]
    # Everything but the window is as for any other task.
    plain = [FinetuningSampler(geometry=Geometry()).sample("digest", 2, n, TOTAL, record) for n in range(20)]
    assert [(a.gain, a.augment, a.mix) for a in forwards] == [(b.gain, b.augment, b.mix) for b in plain]
