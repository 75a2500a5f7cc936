"""The switch between our choices and the authors' code: 32 items, each an option, each told."""

import pytest
from avf_shards.errors import UserError
from avf_training.framewise.protocol import ProtocolOptions, choose_protocol, list_differences


def test_every_one_of_the_32_differences_is_an_option() -> None:
    lines = list_differences(ProtocolOptions())
    assert [line.source.number for line in lines] == list(range(1, 33))
    assert len({line.option for line in lines}) == 32
    assert all(line.source.item and line.source.paper and line.source.code for line in lines)
    assert all(line.source.paper != "-" or line.source.code != "-" for line in lines)


def test_the_switch_sets_all_and_the_report_says_which_ran() -> None:
    ours, authors = choose_protocol("ours"), choose_protocol("authors_code")
    assert ours == ProtocolOptions()
    assert {line.chosen for line in list_differences(ours)} == {"ours", "both"}
    assert {line.chosen for line in list_differences(authors)} == {"authors_code", "both"}
    assert (ours.layer_rate_factor, authors.layer_rate_factor) == (0.9, 0.85)
    assert (ours.last_window, authors.last_window) == ("append", "overwrite_or_never")


def test_a_single_option_can_differ_from_its_protocol() -> None:
    mixed = choose_protocol("authors_code", {"clamp_in_loss": "no", "face_margin_px": 12})
    chosen = {line.option: line.chosen for line in list_differences(mixed)}
    assert chosen["clamp_in_loss"] == "ours"
    assert chosen["face_margin_px"] == "other"
    assert chosen["audio_clock"] == "authors_code"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("official", {}, "protocol: 'official'; it is ours or authors_code"),
        ("ours", {"clamp": "yes"}, "no option 'clamp'; the options are unfreezing_with_layer_rates"),
        ("ours", {"clamp_in_loss": True}, "clamp_in_loss: True; it is no or yes"),
        ("ours", {"layer_rate_factor": "0.9"}, "layer_rate_factor: '0.9'; it is a number above 0"),
        ("ours", {"layer_rate_factor": float("nan")}, "layer_rate_factor: nan; it is a number above 0"),
        ("ours", {"face_margin_px": 1.5}, "face_margin_px: 1.5; it is a whole number"),
    ],
)
def test_an_unknown_protocol_option_or_value_is_refused(name: str, changes: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_protocol(name, changes)
