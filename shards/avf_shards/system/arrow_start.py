"""Keep pyarrow from importing pandas, which no code here uses and which takes longer to import than pyarrow."""

import sys
from typing import Any


class _PandasFinder:
    """Says that there is no pandas."""

    def find_spec(self, name: str, *unused: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"{name} is not imported for pyarrow's sake", name=name)


def keep_pandas_out() -> None:
    """Let pyarrow find no pandas when it looks for it, which it does once, at its first conversion of values.

    Nothing is lost: pyarrow imports pandas all the same when someone calls `to_pandas` or `from_pandas`.
    """
    import pyarrow as pa

    finder = _PandasFinder()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)
