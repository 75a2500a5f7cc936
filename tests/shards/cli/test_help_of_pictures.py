"""The help of each command that works on pictures too says so where it speaks of videos or clips."""

import re

import pytest
from avf_curation.cli.main import main as curate_main
from avf_shards.cli.main import main as shards_main

WITHOUT_PICTURES = {
    "clip": "it cuts clips out of videos",
    "demo": "it makes talking people",
    "review": "it shows videos, and says so of a run of pictures",
    "export": "it shows videos, and says so of a run of pictures",
    "fetch": "it downloads videos",
    "forge": "it makes forgeries of videos",
    "gates": "it judges spans",
    "hybrid": "its quotas are of clips",
    "learn-sync": "it learns from clips",
}
SHARDS = ("pack", "verify", "ls", "show", "lineage", "order", "delete", "push", "pull", "cuts")
CURATION = (
    *("estimate", "plan", "run", "status", "retry", "gc", "audit", "verify", "explain", "what-if", "calibrate"),
    *("data-card", "sources", "weights", "recipe"),
)


@pytest.mark.parametrize("command", SHARDS)
def test_shards(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert silent_about_pictures(help_of(shards_main, command, capsys)) == []


@pytest.mark.parametrize("command", CURATION)
def test_curation(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert silent_about_pictures(help_of(curate_main, command, capsys)) == []


def test_no_command_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    for main, names in ((shards_main, SHARDS), (curate_main, (*CURATION, *WITHOUT_PICTURES))):
        listed = re.findall(r"^    ([a-z-]+) ", help_of(main, None, capsys), re.MULTILINE)
        assert sorted(listed) == sorted(names)


def help_of(main: object, command: str | None, capsys: pytest.CaptureFixture[str]) -> str:
    assert callable(main)
    with pytest.raises(SystemExit) as ended:
        main([*([] if command is None else [command]), "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def silent_about_pictures(text: str) -> list[str]:
    """Return the entries of a help text that speak of videos or clips alone."""
    entries = re.split(r"\n\n|\n(?=  \S)", text)
    single = [" ".join(entry.split()) for entry in entries if not entry.startswith("usage:")]
    return [entry for entry in single if re.search(r"\b(videos?|clips?)\b", entry) and "picture" not in entry]
