"""A check fails under a limit by one rule, for one check and for the columns of a whole ledger."""

import numpy as np
import pyarrow as pa
import pytest
from avf_shards.schema.check_columns import flatten_checks
from avf_shards.schema.ledger import SCHEMA, Check, Decision, decisions_to_table
from avf_shards.timeline import Span

CHECKS = [
    Check(stage="sync", reason="confidence", score=4.0, operator=">=", threshold=3.0, setting="sync.min_confidence"),
    Check(stage="sync", reason="confidence", score=2.0, operator=">=", threshold=3.0, setting="sync.min_confidence"),
    Check(stage="sync", reason="offset", score=None, operator="<=", threshold=6.0, setting="sync.max_offset"),
    Check(stage="silence", reason="silent", score=1.0, operator=">=", threshold=0.5),
    Check(stage="sync", reason="offset", score=6.0, operator="<=", threshold=6.0, setting="sync.max_offset"),
]
ROWS = [CHECKS[:1], [], CHECKS[1:3], CHECKS[3:]]


def table() -> pa.Table:
    return decisions_to_table(
        Decision(
            source="a",
            video_id=f"v{number}",
            group_id="g",
            path="p",
            span=Span(0, 50),
            status="kept",
            checks=tuple(checks),
        )
        for number, checks in enumerate(ROWS)
    )


@pytest.mark.parametrize("limit", [None, 1.0, 3.0, 5.0])
def test_columns_fail_where_single_checks_fail(limit: float | None) -> None:
    single = [check.fails(check.threshold if limit is None else limit) for check in CHECKS]
    assert flatten_checks(table()).fails(limit).tolist() == single


def test_columns_give_row_name_and_setting_of_each_check() -> None:
    columns = flatten_checks(table())
    assert columns.row_C.tolist() == [0, 2, 2, 3, 3]
    assert [columns.names[code] for code in columns.name_C] == [f"{check.stage}/{check.reason}" for check in CHECKS]
    assert columns.names == tuple(dict.fromkeys(f"{check.stage}/{check.reason}" for check in CHECKS))
    assert columns.uses_setting("sync.max_offset").tolist() == [False, False, True, False, True]
    assert not columns.uses_setting("sync.gone").any()
    assert columns.stage_rank(("silence", "sync")).tolist() == [1, 1, 1, 0, 1]
    assert columns.settings_of_names() == [
        ("sync/confidence", "sync.min_confidence"),
        ("sync/offset", "sync.max_offset"),
    ]
    assert columns.is_laxer(2.5).tolist() == [True, True, False, False, False]
    chosen = columns.where(columns.is_named("sync/offset"))
    assert np.isnan(chosen.score_C).tolist() == [True, False]


def test_a_batch_and_a_slice_of_it_count_rows_from_their_own_start() -> None:
    (batch,) = table().combine_chunks().to_batches()
    assert flatten_checks(batch.slice(2)).row_C.tolist() == [0, 0, 1, 1]


def test_a_ledger_without_rows_has_no_checks() -> None:
    assert flatten_checks(SCHEMA.empty_table()).fails().tolist() == []
