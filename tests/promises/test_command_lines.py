"""The three commands share one convention, complete help texts, and examples that parse."""

import argparse
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_curation.cli.main import build_parser as build_curate_parser
from avf_curation.cli.main import main as curate_main
from avf_shards.cli.main import build_parser as build_shards_parser
from avf_shards.cli.main import main as shards_main
from avf_shards.schema.versions import stamp
from avf_shards.stores.addresses import MIRRORS, mirrored_folder
from avf_training.cli.main import build_parser as build_train_parser
from avf_training.cli.main import main as train_main
from support.runs import make_run

PARSERS = {"avf-curate": build_curate_parser, "avf-shards": build_shards_parser, "avf-train": build_train_parser}
MAINS = {"avf-curate": curate_main, "avf-shards": shards_main, "avf-train": train_main}
PACKAGES = {"avf-curate": "avf_curation", "avf-shards": "avf_shards", "avf-train": "avf_training"}
HEAVY = ("torch", "ray", "av", "cv2", "numpy", "pyarrow", "matplotlib", "rich", "yaml")


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the direct subcommands of a parser by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def all_parsers() -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of each program, subcommand and subcommand of a subcommand."""
    waiting = [build() for build in PARSERS.values()]
    while waiting:
        parser = waiting.pop()
        yield parser
        waiting += subcommands(parser).values()


@pytest.mark.parametrize("program", PARSERS)
def test_each_subcommand_lies_in_a_module_of_its_name(program: str) -> None:
    names = {name.replace("-", "_") for name in subcommands(PARSERS[program]())}
    package = importlib.import_module(f"{PACKAGES[program]}.cli")
    assert package.__file__ is not None
    stems = [path.stem for path in Path(package.__file__).parent.glob("*.py")]
    modules = {stem: importlib.import_module(f"{PACKAGES[program]}.cli.{stem}") for stem in stems if stem != "__init__"}
    assert {stem for stem, module in modules.items() if hasattr(module, "add")} == names


@pytest.mark.parametrize("parser", list(all_parsers()), ids=lambda parser: parser.prog)
def test_help_texts_are_sentences_with_defaults(parser: argparse.ArgumentParser) -> None:
    assert parser.description is not None
    assert re.fullmatch(r"[A-Z].{15,}\.", parser.description.strip(), re.S)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, f"{action.dest} has no help"
        if action.option_strings and action.default not in (None, False, argparse.SUPPRESS, [], ""):
            assert action.dest.endswith("verbose") or "(default: " in action.help, action.dest
    assert parser.format_help()


@pytest.mark.parametrize("parser", list(all_parsers()), ids=lambda parser: parser.prog)
def test_examples_of_the_help_parse(parser: argparse.ArgumentParser) -> None:
    for line in re.findall(r"^  .*?(avf-\w+ .*)$", parser.epilog or "", re.M):
        program, *words = shlex.split(line)
        assert PARSERS[program]().parse_args(words).run


@pytest.mark.parametrize("program", PARSERS)
def test_version_is_that_of_the_package(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        MAINS[program](["--version"])
    assert end.value.code == 0
    assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["whatever"], "invalid choice: 'whatever'"),
    ],
)
@pytest.mark.parametrize("program", PARSERS)
def test_invalid_arguments_end_with_usage_and_one_line(
    program: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        MAINS[program](words)
    assert end.value.code == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert usage[0].startswith(f"usage: {program} ")
    assert line.startswith(f"{program}: error: ")
    assert message in line


def test_quiet_and_verbose_exclude_each_other_on_both_sides_of_the_subcommand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        shards_main(["-q", "verify", "SHARDS", "-v"])
    assert end.value.code == 2
    assert "-q/--quiet: not allowed with argument -v/--verbose" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["avf-curate", "-v", "sources", "ls"],
        ["avf-curate", "sources", "-v", "ls"],
        ["avf-curate", "sources", "ls", "-v"],
        ["avf-curate", "weights", "-q", "--log-json", "ls"],
    ],
)
def test_logging_options_may_stand_after_each_word(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = words
    assert MAINS[program](arguments) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("package", ["avf_curation", "avf_training"])
def test_a_reader_that_ends_early_ends_a_table_with_status_0(package: str) -> None:
    code = f"""
import argparse, sys
from avf_shards.cli.common import run_command
from {package}.console.terminal import make_console

def run(options):
    for row in range(20_000):
        make_console().print("a row of a table")
    return 0

parser = argparse.ArgumentParser()
parser.set_defaults(run=run, quiet=False, log_json=False)
sys.exit(run_command(parser, [], stopped=""))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stderr is not None
        shell.stdout.readline()
        shell.stdout.close()
        assert shell.stderr.read() == b""
    assert shell.returncode == 0


# Arguments that take any address (streamed shards) or a name (a model, a study, an input of a run, RUN@DATE).
NO_PATHS = {"shards", "footage", "probe", "new", "validation", "unlabelled", "models", "study", "video"}
PATH_WORDS = re.compile(r"\b(RUN2?|DIR|FILE|SHARDS|MODEL|VIDEO)\b")


def path_arguments() -> Iterator[tuple[str, argparse.Action]]:
    """Yield (command, action) for each argument that names a folder or file."""
    for parser in all_parsers():
        for action in parser._actions:
            metavar = str(action.metavar or "")
            is_path = PATH_WORDS.search(metavar) and "=" not in metavar and "NAME|FILE" not in metavar
            if is_path and (action.dest not in NO_PATHS or action.type is not None):
                yield parser.prog, action


@pytest.mark.parametrize(
    ("command", "action"), list(path_arguments()), ids=lambda value: getattr(value, "dest", str(value))
)
def test_an_address_is_a_mirror_or_refused_where_paths_work(
    command: str, action: argparse.Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, str(tmp_path))
    monkeypatch.setattr("avf_shards.cli.paths._MIRRORED", {})  # those of an earlier command
    assert callable(action.type), f"{command} {action.dest} accepts any text"
    with pytest.raises(argparse.ArgumentTypeError, match="ftp://host/x is an address"):
        action.type("ftp://host/x")
    endings = {
        "avf-shards cuts": ".csv",
        "avf-train export": ".pt2",
        "avf-train embed": ".parquet",
    }  # decides the format
    name = f"x{endings.get(command, '.png')}"
    path = mirrored_folder("s3://bucket/folder").folder / name
    if not getattr(action.type, "writes_file", False):  # a file that is read is a mirror of its own
        path = mirrored_folder(f"s3://bucket/folder/{name}").folder
    assert str(action.type(f"s3://bucket/folder/{name}")) == str(path)


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for words, message in (
        (["avf-curate", "audit", "RUN", "--html", f"{tmp_path}/no/page.html"], "there is no folder"),
        (["avf-curate", "audit", "RUN", "--json", str(tmp_path)], "is a folder; name a file in it"),
        (["avf-curate", "run", "--source", "a=b", "--out", f"{tmp_path}/file/run"], "file is a file, not a folder"),
        (["avf-train", "embed", "SHARDS", "--model", "M", "--out", f"{tmp_path}/no/x.parquet"], "there is no folder"),
    ):
        program, *arguments = words
        with pytest.raises(SystemExit) as end:
            MAINS[program](arguments)
        assert end.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("program", PARSERS)
def test_help_of_all_subcommands_needs_no_heavy_imports(program: str) -> None:
    code = f"""
import contextlib, io, sys
from {PACKAGES[program]}.cli.main import main
for name in {list(subcommands(PARSERS[program]()))!r}:
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main([name, "--help"])
    assert f"usage: {program} {{name}}" in text.getvalue()
print(*sorted({set(HEAVY)!r} & set(sys.modules)))
"""
    shell = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shell.returncode == 0, shell.stderr
    assert shell.stdout.split() == []


def test_commands_that_answer_from_files_import_no_heavy_library(tmp_path: Path) -> None:
    run = make_run(tmp_path).root
    heavy = {"scipy", "torch", "ray", "cv2", "av", "matplotlib", "pandas"}
    slow_start = {*heavy, "yaml", "jinja2", "numpy.ma", "importlib.metadata"}
    for program, words, unwanted in (
        ("avf-curate", ["status", str(run)], {*slow_start, "rich", "pyarrow.compute", "pyarrow.dataset"}),
        ("avf-curate", ["explain", str(run), "000.mp4"], slow_start),
        ("avf-curate", ["audit", str(run)], slow_start),
        ("avf-curate", ["audit", str(run), "--html", str(tmp_path / "audit.html")], {"scipy", "ray", "pandas"}),
        ("avf-curate", ["review", str(run), "--out", str(tmp_path / "review")], {"scipy", "ray", "pandas"}),
        ("avf-curate", ["what-if", str(run), "--set", "quality.max_overlay_px=4"], heavy),
        ("avf-curate", ["sources", "ls"], heavy),
        ("avf-train", ["datasets"], heavy),
    ):
        code = f"""
import sys
from {PACKAGES[program]}.cli.main import main
status = main({words!r})
print("imported:", *sorted({unwanted!r} & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""
        shell = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert shell.returncode == 0, shell.stderr
        assert shell.stderr.splitlines()[-1] == "imported:", words


REFUSALS = (
    ("avf-train", "pretrain --recipe nono --shards SHARDS --out RUN", "--recipe nono"),
    ("avf-train", "pretrain --recipe nano --set stepps=3 --shards SHARDS --out RUN", "did you mean 'steps'"),
    ("avf-train", "pretrain --recipe nano --shards SHARDS --out RUN", "has no manifest.json"),
    ("avf-train", "estimate --recipe nano --shards SHARDS", "has no manifest.json"),
    ("avf-train", "finetune --dataset nono --shards SHARDS --recipe nano --out RUN", "unknown data set"),
    ("avf-train", "finetune --dataset mafw_11 --shards SHARDS --recipe nano --set foo=1 --out RUN", "foo"),
    ("avf-train", "finetune --dataset mafw_11 --shards SHARDS --recipe nano --model MODEL --out RUN", "no saved model"),
    ("avf-train", "posttrain --target mafw_11 --shards SHARDS --recipe nano --out RUN", "has no manifest.json"),
    ("avf-train", "evaluate --model MODEL --shards SHARDS", "holds no run"),
    ("avf-train", "frames SHARDS --model MODEL --fps 0 --out RUN", "--fps 0: frames a second are above 0"),
    ("avf-train", "evaluate-pretraining --model MODEL --shards SHARDS --validation SHARDS", "holds no run"),
    ("avf-train", "replay MODEL --shards SHARDS", "holds no run"),
    ("avf-train", "benchmark SHARDS", "has no manifest.json"),
    ("avf-train", "predict notes.txt --model MODEL", "notes.txt: holds no video"),
    ("avf-train", "predict notes --model MODEL", "notes: holds no video"),
    ("avf-train", "predict film.mp4 --model MODEL", "no saved model"),
    ("avf-train", "predict film.mp4 --model PRETRAINED", "is a pre-trained model and cannot predict"),
    ("avf-train", "embed notes.txt --model MODEL --out features.parquet", "notes.txt: holds no video"),
    ("avf-train", "embed film.mp4 --model MODEL --out features.parquet --kinds sound", "no such feature: sound"),
    ("avf-train", "extract film.mp4 --extractor nono --weights w.pt --out TRACKS", "no such extractor"),
    ("avf-train", "extract film.mp4 --extractor vit --weights w.pt --out TRACKS", "w.pt: no such file"),
    ("avf-train", "frame-labels none --out LABELS", "none: no such file or folder"),
    ("avf-train", "train-frames --recipe nono --tracks T --labels L --task va --out RUN", "--recipe nono"),
    ("avf-train", "train-frames --recipe sun_temporal --tracks T --labels L --task va --out RUN", "T: no such folder"),
    ("avf-train", "predict-frames nono --tracks T --out PREDICTIONS", "nono: no such folder"),
    ("avf-train", "extract notes.txt --extractor vit --weights w.pt --out TRACKS", "notes.txt: holds no video"),
    ("avf-train", "tracks nono", "no such folder of tracks"),
    ("avf-train", "frame-folds nono --task va --out folds.json", "nono: no labels of va"),
    ("avf-train", "ensemble-frames nono.yaml --predictions P --out OUT", "nono.yaml: no such file"),
    ("avf-train", "report-frames --task va --predictions nono --labels L --out OUT", "nono: holds no predictions"),
    ("avf-train", "submission --task joy --predictions P --sample s.txt --out o.txt", "choose from va, expr, au"),
    ("avf-train", "submission --task va --predictions P --sample nono.txt --out o.txt", "nono.txt: no such file"),
    ("avf-train", "reconstruct notes.txt --out figure.png", "notes.txt: holds no video"),
    ("avf-train", "reconstruct film.mp4 --ratios 2:1 --out figure.png", "video_ratio 2.0 must lie between 0 and 1"),
    ("avf-train", "reconstruct film.mp4 --preset nono --out figure.png", "unknown model"),
    ("avf-train", "export --model PRETRAINED --out model.pt2", "is a pre-trained model and cannot predict"),
    ("avf-train", "study nono.yaml --shards SHARDS --out STUDY", "nono.yaml: no such file"),
    ("avf-train", "convert nono.pth --out MODEL", "nono.pth: no such file"),
    ("avf-train", "parity nono.npz", "nono.npz: no such file"),
    ("avf-curate", "clip notes.txt --out CLIPS", "notes.txt: holds no video"),
    ("avf-curate", "clip nono.mp4 --out CLIPS", "nono.mp4: no such file"),
    ("avf-curate", "retry RUN", "not the folder of a run"),
    ("avf-curate", "data-card SHARDS --out CARD", "has no manifest.json"),
    ("avf-curate", "run --source a=nono --out RUN", "no such folder"),
    ("avf-curate", "run --source a=notes --out RUN --address 127.0.0.1:1", "no Ray cluster on 127.0.0.1:1: Connection"),
)


# Runs each line of its argument, and prints status, standard output, standard error and the heavy libraries so far.
ONE_PROCESS = """
import contextlib, io, json, shlex, sys
from {package}.cli.main import main
answers = []
for line in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            status = main(shlex.split(line))
        except SystemExit as end:
            status = end.code
    heavy = sorted({{"scipy", "torch", "ray", "cv2", "av", "matplotlib", "pandas"}} & set(sys.modules))
    answers.append([status, out.getvalue(), errors.getvalue(), heavy])
print(json.dumps(answers))
"""


@pytest.mark.parametrize("program", ["avf-curate", "avf-train"])
def test_what_can_be_refused_by_names_and_settings_is_refused_before_heavy_libraries_load(
    program: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/talk.srt").write_text("1\n")
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "PRETRAINED").mkdir()
    (tmp_path / "PRETRAINED/config.json").write_text(json.dumps(stamp({"kind": "mae", "model": {}}, "saved model")))
    refusals = [(line, message) for name, line, message in REFUSALS if name == program]
    code = ONE_PROCESS.format(package=PACKAGES[program])
    words = [sys.executable, "-c", code, json.dumps([line for line, _ in refusals])]
    shell = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    for (line, message), (status, out, errors, heavy) in zip(refusals, json.loads(shell.stdout), strict=True):
        assert (status, out, heavy) == (2, "", []), (line, out, errors)
        assert message in errors, line


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["avf-curate", "status", "my run"], "avf-curate run --out 'my run'"),
        (["avf-shards", "verify", "my run"], "avf-shards pack RUN --out 'my run'"),
        (["avf-train", "replay", "my run", "--shards", "x"], "avf-train pretrain --out 'my run'"),
    ],
)
def test_a_command_that_a_message_gives_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my run").mkdir()
    assert MAINS[words[0]](words[1:]) == 2
    assert advice in capsys.readouterr().err
