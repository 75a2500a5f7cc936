"""Run a subcommand of avf-curate so that Ctrl-C and faults of the machine end it with one sentence."""

import argparse

from avf_shards.errors import UserError


def run_interruptible(options: argparse.Namespace) -> int:
    """Run the subcommand and return its exit status. Raises UserError for a full disk or a lost cluster."""
    from avf_curation.execution.signals import remember_interrupt
    from avf_curation.pipeline.failures import InfrastructureError

    try:
        with remember_interrupt():
            return int(options.run(options))
    except InfrastructureError as error:
        raise UserError(str(error)) from error
