"""Page of the failures that a ledger records, of inputs that are skipped, and of the exit codes."""

from avf_curation.pipeline.failures import FAILURE_SENTENCES
from avf_curation.sources.types import SkippedInput
from avf_shards.cli.common import EXIT_STATUS
from avf_shards.settings.field_comments import field_notes

from reference.markdown import code, escape, table


def write_faults() -> str:
    """Return the page."""
    codes = [line.split(None, 1) for line in EXIT_STATUS.splitlines()[1:]]
    kinds = next(note.text for note in field_notes(SkippedInput) if note.name == "kind")
    parts = [
        "# Failures and exit codes",
        "## Exit codes",
        "All commands of the three programs end with the same codes. A message on standard error is one sentence: the thing, "
        "the value, the fix.",
        table(("Code", "Meaning"), [(code(number), escape(text)) for number, text in codes]),
        "What each signal does is in [Resume a stopped run](../howto/resume.md).",
        "## Failed inputs",
        "A **failed** span could not be decided: an error is no opinion about a clip. The ledger names a kind and a message "
        "without paths. `avf-curate retry RUN` decides failed videos again, after you repaired them.",
        table(("Kind", "Why"), [(code(kind), escape(text)) for kind, text in FAILURE_SENTENCES.items()]),
        "Any other kind is the name of a Python exception: a fault of the program. Report it with the message.",
        "What says nothing about the video stops the run instead: a full disk, a read-only file system, too many open files, a "
        "lost cluster. Start the same command again when the machine is mended.",
        "## Skipped inputs",
        "Files under a source that are no input are listed in `RUN/attempt-0/plan/skipped_inputs.parquet`, each with a reason "
        f"and one of these kinds: {escape(kinds)}.",
    ]
    return "\n\n".join(parts) + "\n"
