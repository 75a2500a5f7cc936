"""Pages of the three programs: every command and option, from their argparse parsers."""

import argparse
from collections.abc import Iterator

from avf_curation.cli.main import build_parser as build_curate_parser
from avf_shards.cli.main import build_parser as build_shards_parser
from avf_training.cli.main import build_parser as build_train_parser

from reference.markdown import code, escape, paragraphs, table

PARSERS = {"avf-curate": build_curate_parser, "avf-shards": build_shards_parser, "avf-train": build_train_parser}
COMMON = ("help", "verbose", "quiet", "log_json", "version")  # explained once a page


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the direct subcommands of a parser by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def write_program(program: str) -> str:
    """Return the page of a program."""
    parser = PARSERS[program]()
    common = [action for action in parser._actions if action.dest.rpartition(".")[2].endswith(COMMON)]
    parts = [f"# {program}", paragraphs(parser.description or "")]
    names = {name: sub.description or "" for name, sub in subcommands(parser).items()}
    rows = [(f"[{name}](#{program}-{name})", escape(text.strip().split("\n\n")[0])) for name, text in names.items()]
    parts.append(table(("Command", "What it does"), rows))
    parts.append(f"## Options that every command has\n\n{_option_table(common)}")
    parts.append(paragraphs(parser.epilog or ""))
    parts += [_write_command(sub) for sub in _all_subcommands(parser)]
    return "\n\n".join(parts) + "\n"


def _all_subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for sub in subcommands(parser).values():
        yield sub
        yield from _all_subcommands(sub)


def _write_command(parser: argparse.ArgumentParser) -> str:
    anchor = parser.prog.replace(" ", "-")
    actions = [
        action
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction) and not action.dest.rpartition(".")[2].endswith(COMMON)
    ]
    usage = " ".join([parser.prog, *(_usage(action) for action in actions)])
    parts = [f"## {parser.prog} {{ #{anchor} }}", paragraphs(parser.description or "")]
    if not subcommands(parser):
        parts += [f"```text\n{usage}\n```", _option_table(actions)]
    return "\n\n".join([*parts, paragraphs(parser.epilog or "")])


def _usage(action: argparse.Action) -> str:
    text = _names(action)[0]
    if action.option_strings:
        text = " ".join((action.option_strings[-1], *_value(action)))
    if action.nargs in ("*", "+"):
        text += " ..."
    optional = action.nargs in ("*", "?") if not action.option_strings else not action.required
    return f"[{text}]" if optional else text


def _names(action: argparse.Action) -> list[str]:
    if not action.option_strings:
        return [str(action.metavar or action.dest)]
    return [" ".join((name, *_value(action))) for name in action.option_strings]


def _value(action: argparse.Action) -> list[str]:
    if action.nargs == 0:
        return []
    return [str(action.metavar) if action.metavar else "{" + ",".join(map(str, action.choices or ())) + "}"]


def _option_table(actions: list[argparse.Action]) -> str:
    rows = []
    for action in actions:
        needed = "yes" if action.required and (action.option_strings or action.nargs not in ("*", "?")) else ""
        text = (action.help or "") % (vars(action) | {"prog": ""}) if action.help else ""
        rows.append(("<br>".join(map(code, _names(action))), needed, escape(text)))
    return table(("Option", "Required", "Meaning"), rows)
