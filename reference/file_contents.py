"""What is said of a kind of file."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

Texts = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a kind of file holds."""

    about: str  # one sentence
    rows: type[Any] | None = None  # the dataclass whose fields the file has
    schema: pa.Schema | None = None  # columns of a Parquet file
    keys: Texts = field(default_factory=dict)  # columns or keys that no field of `rows` explains -> meaning
    parts: tuple[type[Any], ...] = ()  # dataclasses of objects inside the file
