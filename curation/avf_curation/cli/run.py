"""avf-curate run: curate the videos of all sources."""

import argparse
import logging
from typing import Any

from avf_shards.cli.common import add_command, add_json_option

from avf_curation.cli.options import (
    add_engine_options,
    add_pool_options,
    add_source_options,
    check_device,
    cluster_config,
    load_inputs,
    print_funnel,
    run_curation,
)

_LOG = logging.getLogger(__name__)
EXAMPLES = """\
examples:
  avf-curate run --source interviews=/data/interviews --out RUN
  avf-curate run --source tv=/data/tv --source vlog=/data/vlog --out RUN --recipe mine.yaml --workers 16
  avf-curate run --source tv=/data/tv --out RUN --set quality.min_sharpness=40 --set sources.tv.silence.top_db=25
"""


def add(commands: Any) -> None:
    """Add `run`."""
    parser = add_command(
        commands,
        "run",
        _run,
        help="Curate videos, or face pictures: plan, measure, decide, cut clips.",
        details="A run that was stopped, anywhere, continues when the same command is started again, and ends with the "
        "same bytes. Settings are frozen at the first start: other settings need another folder. Inputs are only "
        "read. The default recipe, curation/recipes/default.yaml, explains every threshold.",
        epilog=EXAMPLES,
    )
    add_source_options(parser)
    add_engine_options(parser)
    add_pool_options(parser)
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    check_device(options)  # impossible values are refused before models are looked for and inputs are listed
    cluster_config(options)
    recipe, backends, sources = load_inputs(options)
    _LOG.info("backends %s", ", ".join(f"{stage}={name}" for stage, name in backends.names().items()))
    return print_funnel(options, run_curation(options, recipe, backends, sources))
