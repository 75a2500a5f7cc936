"""avf-curate retry: decide the failed videos of a finished run again."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option
from avf_shards.cli.options import add_deny_option
from avf_shards.errors import UserError

from avf_curation.cli.options import (
    add_engine_options,
    add_inputs_option,
    add_run_argument,
    add_weights_option,
    check_engine_options,
    open_run,
    print_funnel,
    weights_folder,
)


def add(commands: Any) -> None:
    """Add `retry`."""
    parser = add_command(
        commands,
        "retry",
        _run,
        help="Decide the failed videos or pictures of a finished run again, with the run's own settings.",
        details="Repair the files, or what they need, first. Decisions about all others stay as they are.",
    )
    add_run_argument(parser)
    add_inputs_option(parser)
    add_engine_options(parser)
    add_deny_option(parser)
    add_weights_option(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    check_engine_options(options)
    run = open_run(options)
    identity = run.identity()
    sources = _sources(options, run)
    # After what is refused quickly: these load Ray.
    from avf_shards.deletion.requests import read_deny_files
    from avf_shards.deletion.unmatched import warn_unmatched

    from avf_curation.console.progress_bar import ProgressBar
    from avf_curation.detectors.detector_set import resolve_backends
    from avf_curation.execution.cluster import ClusterConfig
    from avf_curation.recipe import read_run_recipe
    from avf_curation.runs.curation import RunOptions, curate

    recipe = read_run_recipe(identity)
    backends = resolve_backends(recipe, weights_folder(options))
    deny = read_deny_files(options.deny)
    with ProgressBar() as bar:
        curate(
            recipe,
            backends,
            sources,
            options.folder,
            RunOptions(
                engine=options.engine,
                cluster=ClusterConfig(address=options.address, workers=options.workers),
                device=identity.device,
                max_fault_share=options.max_fault_share,
                fail_unreadable=options.fail_unreadable,
                retry_failed=True,
                deny=deny,
            ),
            on_progress=bar,
        )
    if options.deny:
        warn_unmatched(options.deny, run.ledger())
    return print_funnel(options, run)


def _sources(options: argparse.Namespace, run: Any) -> dict[str, Any]:
    """Return the folder of each source of the run. Raises UserError for one that nobody knows."""
    from avf_curation.runs.identity import remembered_roots
    from avf_curation.runs.plan import parse_sources

    names = run.identity().sources
    folders = parse_sources(options.source) if options.source else {}
    if not folders.keys() >= set(names):  # the file of remembered folders may be unreadable, and is not needed
        folders = remembered_roots(run, pulls=True) | folders
    for name in names:
        if name not in folders:
            raise UserError(f"the folder of source {name} is not known on this machine; add --source {name}=DIR")
    return {name: folders[name] for name in names}
