"""Hooks of mkdocs: the pages of the site that are made from the code and from documents at the root."""

from collections.abc import Callable

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from reference.api import write_api
from reference.commands import write_program
from reference.documents import write_decisions, write_document
from reference.faults import write_faults
from reference.file_page import write_files
from reference.notebooks import write_notebook
from reference.recipes import write_curation_recipes, write_selections, write_training_recipes
from reference.verdicts import write_verdicts

PAGES: dict[str, Callable[[], str]] = {
    "reference/avf-curate.md": lambda: write_program("avf-curate"),
    "reference/avf-shards.md": lambda: write_program("avf-shards"),
    "reference/avf-train.md": lambda: write_program("avf-train"),
    "reference/curation-recipes.md": write_curation_recipes,
    "reference/training-recipes.md": write_training_recipes,
    "reference/selections.md": write_selections,
    "reference/files.md": write_files,
    "reference/verdicts.md": write_verdicts,
    "reference/faults.md": write_faults,
    "reference/python-shards.md": lambda: write_api("avf_shards"),
    "reference/python-curation.md": lambda: write_api("avf_curation"),
    "reference/python-training.md": lambda: write_api("avf_training"),
    "project/architecture.md": lambda: write_document("ARCHITECTURE.md"),
    "project/contributing.md": lambda: write_document("CONTRIBUTING.md"),
    "project/changelog.md": lambda: write_document("CHANGELOG.md"),
    "project/security.md": lambda: write_document("SECURITY.md"),
    "project/notice.md": lambda: write_document("NOTICE"),
    "adr/index.md": write_decisions,
    "notebooks/emotions_in_my_video.md": lambda: write_notebook("emotions_in_my_video"),
    "notebooks/curate_and_read_the_audit.md": lambda: write_notebook("curate_and_read_the_audit"),
    "notebooks/fine_tune_on_my_labels.md": lambda: write_notebook("fine_tune_on_my_labels"),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in docs/."""
    for uri, write in PAGES.items():
        files.append(File.generated(config, uri, content=write()))
    return files
