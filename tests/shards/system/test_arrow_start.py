"""pyarrow converts values without importing pandas, and imports pandas when someone asks for a data frame."""

import subprocess
import sys

import pytest

CODE = """
import sys
from avf_shards.system.arrow_start import keep_pandas_out
keep_pandas_out()
import pyarrow as pa
table = pa.table({"a": pa.array([1, None])})
print(table["a"].to_numpy().tolist(), "pandas" in sys.modules)
print(len(table.to_pandas()), "pandas" in sys.modules)
import pandas
print(pa.Table.from_pandas(pandas.DataFrame({"b": [3]}), preserve_index=False).to_pydict())
"""


def test_pandas_is_imported_only_for_data_frames() -> None:
    pytest.importorskip("pandas")
    shell = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert shell.stderr == ""
    assert shell.stdout.splitlines() == ["[1.0, nan] False", "2 True", "{'b': [3]}"]
