"""Without an extra each program says in one sentence what to install."""

import argparse

import pytest
from avf_shards.cli.common import add_command, make_parser, run_command


@pytest.mark.parametrize(
    ("program", "module", "extra"),
    [
        ("avf-curate", "av.container", "curate"),
        ("avf-curate", "torch", "detectors"),
        ("avf-curate", "yt_dlp.utils", "fetch"),
        ("avf-shards", "jinja2", "curate"),
        ("avf-train", "torch.nn", "train"),
        ("avf-train", "sklearn", "train"),
    ],
)
def test_a_missing_package_is_one_sentence(
    program: str, module: str, extra: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program, module) == 2
    name = module.partition(".")[0]
    assert capsys.readouterr().err == (
        f"{program}: this needs the package {name}, which is not installed; get it with\n"
        f"  pip install 'avf-foundry[{extra}]'\n"
    )


@pytest.mark.parametrize("module", ["avf_shards.no_such_module", "json.no_such_module"])
def test_a_module_of_our_own_or_of_python_is_a_fault_of_the_program(module: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        run("avf-curate", module)


def run(program: str, missing: str) -> int:
    """Run a command that imports a module which is not there."""

    def fail(options: argparse.Namespace) -> int:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    parser, commands = make_parser(program, "A program.", "it works")
    add_command(commands, "work", fail, help="Work.")
    return run_command(parser, ["work"], stopped="stopped")
