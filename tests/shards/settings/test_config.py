"""Tables of settings become dataclasses, and invalid values are refused."""

from dataclasses import dataclass, field

import pytest
from avf_shards.errors import UserError
from avf_shards.settings.config import bind, flatten, merge, nest


@dataclass(frozen=True)
class Inner:
    rate: float
    name: str = "a"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate {self.rate} is negative")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    sizes: tuple[int, ...] = ()
    table: dict[str, Inner] = field(default_factory=dict)
    maybe: int | None = None


def test_numbers_that_yaml_reads_as_text_are_accepted() -> None:
    for text, value in (("1e-4", 1e-4), ("-2E3", -2000.0), ("+1e+2", 100.0)):
        assert bind(Inner, {"rate": abs(value)}) == bind(Inner, {"rate": text.lstrip("-")})
    with pytest.raises(UserError, match="expected a number, got 'one'"):
        bind(Inner, {"rate": "one"})


def test_nested_tables_become_dataclasses() -> None:
    outer = bind(Outer, {"inner": {"rate": 1}, "sizes": [1, 2], "table": {"x": {"rate": 2.5}}, "maybe": None})
    assert outer == Outer(Inner(1.0), (1, 2), {"x": Inner(2.5)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"rtae": 1}}, "inner.rtae: unknown setting; did you mean 'rate'"),
        ({"inner": {}}, "inner.rate: missing"),
        ({"inner": {"rate": "fast"}}, "inner.rate: expected a number, got 'fast'"),
        ({"inner": {"rate": True}}, "inner.rate: expected a number"),
        ({"inner": {"rate": float("nan")}}, "not a finite number"),
        ({"inner": {"rate": -1}}, "inner: rate -1.0 is negative"),
        ({"inner": {"rate": 1}, "sizes": [1, "b"]}, r"sizes\[1\]: expected a whole number"),
        ({"inner": 3}, "inner: expected a table"),
    ],
)
def test_an_invalid_value_is_named_with_its_setting(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        bind(Outer, values)


def test_tables_are_merged_nested_and_flattened() -> None:
    merged = merge({"a": {"b": 1, "c": 2}}, nest("a.b", 3))
    assert merged == {"a": {"b": 3, "c": 2}}
    assert flatten(merged) == {"a.b": 3, "a.c": 2}
