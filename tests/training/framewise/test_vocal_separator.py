"""A command that leaves the voice: what it reads and writes, and that tracks record it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from avf_shards.errors import FaultError, UserError
from avf_training.cli.main import main
from avf_training.framewise.tracks.sound_decoder import decode_sound
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.tracks.vocal_separator import VocalSeparator
from support.tiny_extractors import save_vggish

HALVE = """
import sys, soundfile
wave, rate = soundfile.read(sys.argv[1])
assert rate == 44_100 and wave.ndim == 1
soundfile.write(sys.argv[2], 0.5 * wave, rate, subtype="FLOAT")
"""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    times = np.arange(3 * 22_050) / 22_050
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds/v.wav", 0.5 * np.sin(2 * np.pi * 440 * times), 22_050)
    return tmp_path / "sounds/v.wav"


def separator(folder: Path, program: str, **values: float) -> VocalSeparator:
    (folder / "separate.py").write_text(program)
    words = (sys.executable, str(folder / "separate.py"), "{input}", "{output}")
    return VocalSeparator(words=words, version="1", **values)


def test_the_voice_is_what_the_command_leaves(sound: Path, tmp_path: Path) -> None:
    voice, original = separator(tmp_path, HALVE).decode_voice(sound), decode_sound(sound)
    assert len(voice) == len(original) == 48_000
    assert voice[200:-200] == pytest.approx(0.5 * original[200:-200], abs=5e-3)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; print('no weights'); sys.exit(3)", "ended with status 3 \\(no weights\\)"),
        ("", "wrote no file"),
        ("import sys; open(sys.argv[2], 'w').write('text')", "wrote is no sound"),
        (HALVE.replace("0.5 * wave", "wave[:44_100]"), "wrote 1.00 s of 3.00 s"),
    ],
)
def test_what_a_command_does_wrong_is_a_fault_of_its_file(
    sound: Path, tmp_path: Path, program: str, message: str
) -> None:
    with pytest.raises(FaultError, match=rf"v\.wav: .*{message}"):
        separator(tmp_path, program).decode_voice(sound)


def test_a_command_that_hangs_is_ended(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"took more than 0\.2 s"):
        separator(tmp_path, "import time; time.sleep(600)", timeout_s=0.2).decode_voice(sound)


def test_tracks_record_the_command_and_its_version(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "separate.py").write_text(HALVE)
    command = f"{sys.executable} {tmp_path}/separate.py {{input}} {{output}}"
    weights = str(save_vggish(tmp_path / "v.safetensors", False))
    argv = ["extract", str(sound.parent), "--sound", "lab", "--extractor", "vggish", "--weights", weights]
    argv += ["--out", str(tmp_path / "tracks")]
    assert main([*argv, "--separator", command, "--separator-version", "halve 1"]) == 0
    (track,) = (checked.track for checked in TrackFolder(tmp_path / "tracks").check())
    assert track is not None
    assert '"separator_version": "halve 1"' in track.extractor.settings
    capsys.readouterr()
    assert main(argv) == 2
    assert "is of vggish with separator=" in capsys.readouterr().err
    for words, message in (
        (["--separator", "demucs {input}", "--separator-version", "4"], "has no {output}"),
        (["--separator", "demucs {input} {output}"], "--separator-version is missing"),
        (["--separator", "'demucs {input} {output}", "--separator-version", "4"], "No closing quotation"),
    ):
        assert main([*argv, *words]) == 2
        assert message in capsys.readouterr().err
    missing = [
        "--separator",
        "no-such-command {input} {output}",
        "--separator-version",
        "4",
        "--out",
        str(tmp_path / "t"),
    ]
    assert main([*argv, *missing]) == 2
    assert "--separator no-such-command: no such command" in capsys.readouterr().err
    assert main([*argv[:2], *argv[4:], "--separator", "a {input} {output}", "--separator-version", "4"]) == 2
    assert "--separator works with --sound" in capsys.readouterr().err


def test_a_command_without_quotes_in_its_words_is_parsed() -> None:
    parsed = VocalSeparator.parse("run 'a b' --in={input} {output}", " 2 ")
    assert parsed.words == ("run", "a b", "--in={input}", "{output}")
    assert parsed.settings["separator_version"] == "2"
    with pytest.raises(UserError, match=r"has no \{input\}"):
        VocalSeparator.parse("run", "2")
