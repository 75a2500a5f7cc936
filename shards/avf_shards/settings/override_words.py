"""Settings from Python as the texts that `--set` takes, so that both are read, and refused, by the same code."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from avf_shards.errors import UserError
from avf_shards.settings.config import flatten


def set_words(settings: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Return settings as `--set` takes them: {"optim": {"clip_norm": 1}} becomes ["optim.clip_norm=1"].

    Texts stay as they are. Raises UserError, which names the setting, for a value that no recipe can hold.
    """
    if not isinstance(settings, Mapping):
        return list(settings)
    return [_set_word(name, value) for name, value in flatten(settings).items()]


def _set_word(name: str, value: Any) -> str:
    try:
        return f"{name}={json.dumps(value)}"
    except (TypeError, ValueError):
        kinds = "a number, a text, true or false, None, a list or a dictionary"
        raise UserError(f"{name}: {value!r} is a {type(value).__name__}, which no recipe holds; give {kinds}") from None
