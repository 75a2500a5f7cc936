"""What is written down of each fault that was injected, and the journal by which a part goes on where it was stopped."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SCHEMA_VERSION = 1  # raise it when a field is renamed, removed or gets another meaning


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fault that was injected, or a file that was tried, and what the product did."""

    case: str  # what exactly, and where; unique in its part
    row: str  # the row of the table that counts it
    outcome: str  # in a word or a few, such as kept, failed, refused: the table counts each
    lost: int = 0  # videos, clips or decisions that are gone without a word
    silent: int = 0  # of what stays undecided or damaged without being named
    peak_mb: float = 0.0  # highest memory of the worker; 0: not measured
    note: str = ""  # what was said, where the outcome does not say it


class Journal:
    """The trials of a part so far, a line of JSON for each. One of another version of the code is begun anew."""

    def __init__(self, path: Path, version: str) -> None:
        """Read the journal where there is one.

        Args:
            version: says which code and which settings the trials are of.
        """
        self._path, self._head = path, {"schema_version": SCHEMA_VERSION, "version": version}
        self.trials: list[Trial] = []
        if path.is_file() and json.loads(path.read_text("utf-8").partition("\n")[0]) == self._head:
            self.trials = read_trials(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(self._head) + "\n" + "".join(_line(trial) for trial in self.trials))

    def cases(self) -> frozenset[str]:
        """Return which cases need not be tried once more."""
        return frozenset(trial.case for trial in self.trials)

    def record(self, trials: Iterator[Trial]) -> None:
        """Write down each trial as soon as there is one."""
        with open(self._path, "a", encoding="utf-8") as file:
            for trial in trials:
                self.trials.append(trial)
                file.write(_line(trial))
                file.flush()


def read_trials(path: Path) -> list[Trial]:
    """Return the trials of a journal of any version; none where there is no journal."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    # The last line may be half a line of a part that was killed.
    return [Trial(**json.loads(line)) for line in lines[1:] if line.endswith("}")]


def _line(trial: Trial) -> str:
    return json.dumps(asdict(trial), ensure_ascii=False) + "\n"
