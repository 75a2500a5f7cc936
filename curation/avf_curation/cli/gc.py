"""avf-curate gc: remove what processes that died have left in a run's folder."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer

from avf_curation.cli.options import add_run_argument, open_run


def add(commands: Any) -> None:
    """Add `gc`."""
    parser = add_command(
        commands,
        "gc",
        _run,
        help="Remove the temporary folders, markers and claims that dead processes left in a run.",
        details="Results and logs stay. What a living process uses stays too. In an object store, contents that no "
        "unit names are removed when they are older than a day.",
    )
    add_run_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_curation.runs.cleanup import find_garbage, remove_garbage

    run = open_run(options)
    garbage = find_garbage(run)
    if not options.dry_run:
        remove_garbage(run, garbage)
    total = sum(garbage.values())
    sizes = {str(path.relative_to(run.root)): size for path, size in garbage.items()}
    lines = [f"{size / 1e6:>10.1f} MB  {name}" for name, size in sizes.items()]
    verb = "would be freed" if options.dry_run else "freed"
    lines.append(f"{total / 1e6:.1f} MB {verb} in {options.folder}" if garbage else "nothing to remove")
    print_answer(options, {"bytes": total, "removed": not options.dry_run, "paths": sizes}, "\n".join(lines))
    return 0
