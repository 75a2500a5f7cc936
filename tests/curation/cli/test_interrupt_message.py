"""After Ctrl-C only a command that saves units says that they are saved."""

import pytest
from avf_curation.cli.main import build_parser
from avf_curation.cli.options import STOPPED_BETWEEN_UNITS


@pytest.mark.parametrize(
    ("command", "saves"),
    [
        ("run --source a=b --out RUN", True),
        ("retry RUN", True),
        ("estimate --source a=b --out RUN", True),
        ("demo --out DIR", True),
        ("audit RUN", False),
        ("what-if RUN --set sync.max_offset_ms=40", False),
    ],
)
def test_the_message_after_ctrl_c_is_true(command: str, saves: bool) -> None:
    options = build_parser().parse_args(command.split())
    assert (getattr(options, "stopped", None) == STOPPED_BETWEEN_UNITS) == saves
