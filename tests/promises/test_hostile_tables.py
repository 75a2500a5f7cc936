"""Promise: lists and JSON from outside that no reader can take end in a sentence, and in no traceback."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from avf_curation.audit.review import read_verdicts
from avf_curation.detectors.weights import default_weights_folder
from avf_curation.reports.label_studio import _read_tasks
from avf_curation.sources import avspeech, celebvhq, dfew, mer2023, mer2024_unlabelled
from avf_curation.sources.listing import Listing
from avf_shards.errors import FaultError, UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.text import load_json
from avf_training.conversion.convert import read_model_config
from avf_training.data.decode import StoredAudio
from avf_training.models.pretrained import load_model_folder

DEEP = "[" * 200_000
LONG_FIELD = f"name,discrete\n{'x' * 200_000},1\n"


def test_deep_json_is_an_error_that_readers_expect() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        load_json(DEEP)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_verdicts(path, RunFolder(path.parent)),
        _read_tasks,
        read_model_config,
        lambda path: load_model_folder(path.parent),
        lambda path: list(celebvhq.list_videos(Listing("celebvhq", path.parent, []))),
    ],
    ids=["verdicts", "label studio", "model config", "saved model", "celebvhq"],
)
def test_deep_json_is_refused_by_name(read: Callable[[Path], object], tmp_path: Path) -> None:
    for name in ("config.json", celebvhq.INFO):
        (tmp_path / name).write_text(DEEP)
    path = tmp_path / ("config.json")
    with pytest.raises(UserError, match=str(tmp_path)):
        read(path)


def test_a_field_above_128_kb_is_refused_by_name_in_every_list(tmp_path: Path) -> None:
    def rows(read: Callable[[Listing, str], object], source: str, name: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LONG_FIELD)
        with pytest.raises(UserError, match=rf"--source {source}=.*{path.name} cannot be read as a CSV table"):
            read(Listing(source, tmp_path, []), name)

    source = f"--source avspeech={tmp_path}"
    rows(lambda listing, name: avspeech.read_ranges(listing, name, source), "avspeech", avspeech.LISTS[0])
    rows(lambda listing, name: list(mer2023._read_rows(listing, name)), "mer24", "label-disdim.csv")
    rows(lambda listing, name: mer2024_unlabelled._note_bad_rows(listing, name, set()), "mer2024", "label-disdim.csv")
    rows(
        lambda listing, name: list(dfew._read_list(listing, "train", 1)),
        "dfew",
        "EmoLabel_DataSplit/train(single-labeled)/set_1.csv",
    )


def test_sound_that_declares_more_than_its_bytes_can_hold_is_a_fault() -> None:
    sink = io.BytesIO()
    soundfile.write(sink, np.zeros(16_000, np.int16), 16_000, format="FLAC")
    flac = bytearray(sink.getvalue())
    assert StoredAudio(bytes(flac)).frames == 25
    flac[21] |= 0x0F  # the samples are 36 bits, which begin in the fourteenth byte of STREAMINFO
    flac[22:26] = b"\xff" * 4
    with pytest.raises(FaultError, match="declares 68,719,476,735 samples in"):
        StoredAudio(bytes(flac))


def test_without_a_home_the_message_names_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("AVF_WEIGHTS", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UserError, match="set HOME or AVF_WEIGHTS"):
        default_weights_folder()


def test_json_that_is_fine_is_read_as_before() -> None:
    assert load_json(json.dumps({"a": [1, "é"]})) == {"a": [1, "é"]}
