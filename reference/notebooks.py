"""The notebooks as pages of the site: their text and cells, without results."""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "notebooks"
_OPENING = """\
Run it yourself: open `notebooks/{name}.ipynb` in an editor with notebooks, such as VS Code, with the kernel of `.venv`; or in JupyterLab:

```sh
.venv/bin/python -m ensurepip
.venv/bin/python -m pip install jupyterlab
.venv/bin/jupyter lab notebooks/{name}.ipynb
```

The notebook itself needs no network."""


def write_notebook(name: str) -> str:
    """Return a notebook as a page. Links between notebooks become links between their pages."""
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))["cells"]
    parts = [_write_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts.insert(1, _OPENING.format(name=name))
    return "\n\n".join(parts) + "\n"


def _write_cell(kind: str, source: str) -> str:
    if kind == "markdown":
        return re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source)
    if source.startswith("%%bash\n"):
        commands = source.removeprefix("%%bash\n")
        return f"```sh\n{commands}\n```"
    return f"```python\n{source}\n```"
