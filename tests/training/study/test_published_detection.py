"""The tables that the paper prints, as it prints them, and its contradictions, computed anew."""

import pytest
from avf_training.study.published_detection import printed_tables


def test_every_row_has_a_value_for_each_metric() -> None:
    tables = printed_tables().tables
    assert [table.number for table in tables] == [27, 28, 29, 30]
    for table in tables:
        assert all(len(row.values) == len(table.metrics) for row in table.rows), table.number


def test_the_contradictions_follow_from_the_numbers() -> None:
    rows = {row.name: row.values for table in printed_tables().tables for row in table.rows}
    fakes = 0.733  # of one class throughout: accuracy p, weighted F1 2 p^2 / (1 + p)
    assert 100 * 2 * fakes**2 / (1 + fakes) == pytest.approx(float(rows["Grok 4"][1]), abs=0.005)
    assert rows["Grok 4"][:2] == rows["Gemini-2.5-pro"][:2] == ("73.30", "62.01")
    accuracy, weighted_f1, recall = (float(value) / 100 for value in rows["AVF-MAE++"][:3])
    possible = []
    for percent in range(1, 1000):
        prior = percent / 1000
        # Recalls a of fakes, b of reals: their mean and their weighted mean are printed.
        if prior == 0.5:
            continue
        a = (accuracy - 2 * recall * (1 - prior)) / (2 * prior - 1)
        b = 2 * recall - a
        if not (0 <= a <= 1 and 0 <= b <= 1):
            continue
        f1_fake = 2 * prior * a / (prior + prior * a + (1 - prior) * (1 - b))
        f1_real = 2 * (1 - prior) * b / (1 - prior + (1 - prior) * b + prior * (1 - a))
        possible.append(prior * f1_fake + (1 - prior) * f1_real)
    assert min(possible) > weighted_f1 + 0.0015
