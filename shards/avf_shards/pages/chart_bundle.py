"""Vega-Lite as one JavaScript text, which a page embeds."""

import hashlib
import importlib.metadata
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

_NO_CACHE = (OSError, RuntimeError)  # no permission, no space; no home folder


@cache
def vega_bundle() -> str:
    """Return the text, which can stand in a script element.

    To make it takes two to three seconds, in which nothing else can run. Later processes find it in
    ~/.cache/avf-foundry, where that can be written to.
    """
    name = f"vega-{importlib.metadata.version('vl-convert-python')}.js"
    with suppress(*_NO_CACHE, UnicodeDecodeError):
        digest, _, text = (_cache_folder() / name).read_bytes().decode("utf-8").partition("\n")
        if digest == _digest(text):  # any other text was cut off or changed, and is made anew
            return text
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
    with suppress(*_NO_CACHE):
        _write(_cache_folder() / name, f"{_digest(bundle)}\n{bundle}".encode())
    return bundle


def _cache_folder() -> Path:
    return Path.home() / ".cache" / "avf-foundry"


def _digest(text: str) -> str:
    return f"// sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _write(path: Path, data: bytes) -> None:
    """Write a file that other processes see complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.replace(file.name, path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
