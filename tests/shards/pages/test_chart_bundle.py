"""The chart library is bundles once for all processes of a user, and anew where the stored text is not whole."""

from pathlib import Path

import pytest
import vl_convert
from avf_shards.pages.chart_bundle import vega_bundle


def test_the_library_is_kept_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = []

    def bundle(snippet: str) -> str:
        bundles.append(snippet)
        return f"text {len(bundles)}: '</script>'\r\n"

    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    monkeypatch.setenv("HOME", str(tmp_path))
    uncached = vega_bundle.__wrapped__  # as another process calls it
    first = uncached()
    assert first == "text 1: '<\\/script>'\r\n"
    assert uncached() == first
    (stored,) = (tmp_path / ".cache/avf-foundry").iterdir()
    stored.write_bytes(stored.read_bytes()[:-3])
    assert uncached() == "text 2: '<\\/script>'\r\n", "a text that is cut off is bundles anew"
    assert uncached() == "text 2: '<\\/script>'\r\n"
    monkeypatch.setenv("HOME", str(stored))  # a file: nothing can be kept
    assert [uncached()[:6], uncached()[:6]] == ["text 3", "text 4"]
