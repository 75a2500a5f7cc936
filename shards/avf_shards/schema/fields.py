"""Typed access to the fields of a JSON object that was read from a file. A field that is missing or of another type
raises FaultError with the name of the object and of the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avf_shards.errors import FaultError


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one JSON object."""

    values: Mapping[str, Any]  # as the JSON parser returns them
    where: str  # names the object in messages, as "voxceleb2-0a1b...-0: labels"

    @classmethod
    def from_value(cls, values: object, where: str) -> "Fields":
        """Return the fields of `values`, which must be a JSON object."""
        if not isinstance(values, dict):
            raise FaultError(f"{where}: must be a JSON object, and is {_shorten(values)}")
        return cls(values, where)

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.values.get(name)
        return value if isinstance(value, str) else self._refuse(name, "text")

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None where the field is null or missing."""
        return None if self.values.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """Return a whole number."""
        value = self.values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return int(self._refuse(name, "a whole number"))

    def number(self, name: str) -> float:
        """Return a number as it was written: whole numbers stay whole."""
        value = self.values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        return float(self._refuse(name, "a number"))

    def optional_number(self, name: str) -> float | None:
        """Return a number, or None where the field is null or missing."""
        return None if self.values.get(name) is None else self.number(name)

    def texts(self, name: str) -> dict[str, str]:
        """Return a table of strings."""
        table = self.table(name)
        return {key: table.text(key) for key in table.values}

    def integers(self, name: str) -> dict[str, int]:
        """Return a table of whole numbers."""
        table = self.table(name)
        return {key: table.integer(key) for key in table.values}

    def table(self, name: str) -> "Fields":
        """Return the fields of an object inside this one."""
        return Fields.from_value(self.values.get(name), f"{self.where}: {name}")

    def items(self, name: str) -> list[Any]:
        """Return a list."""
        value = self.values.get(name)
        if not isinstance(value, list):
            self._refuse(name, "a list")
        return list(self.values[name])

    def text_list(self, name: str) -> list[str]:
        """Return a list of strings."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            self._refuse(name, "a list of texts")
        return values

    def _refuse(self, name: str, kind: str) -> str:
        value = _shorten(self.values[name]) if name in self.values else "missing"
        raise FaultError(f"{self.where}: {name} must be {kind}, and is {value}")


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
