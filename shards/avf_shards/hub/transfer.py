"""Push the files of a folder to a repository of the Hub in one commit, and pull files of one commit.

A push is one commit: readers see the files from before it or those after it, and never a part. What a stopped push has
sent is not sent again. A pull names the commit that it reads first, so that a push beside it changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.hub.repository import HubRepository, hub_errors, import_client

CARD = "README.md"
_OF_THE_SERVER = {".gitattributes", CARD}  # a push replaces the card, and leaves the other


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push did."""

    repository: HubRepository  # at the commit that the push made
    sent: int  # files of the folder
    removed: int  # files that the repository had and the folder has not


def push_files(
    files: Mapping[str, Path], card: str, repository: HubRepository, *, private: bool, forget: bool = False
) -> Pushed:
    """Make the repository hold exactly `files` and the card, in one commit, and return what was done.

    Args:
        files: name in the repository -> file on this machine.
        card: text of README.md, with the metadata that the Hub reads.
        private: whether a repository that does not exist yet is made private; one that exists stays as it is.
        forget: squash the history afterwards, so that files of earlier commits can no longer be fetched.

    Raises UserError where the server cannot be reached or refuses, and where another push came between.
    """
    hub = import_client()
    api = hub.HfApi()
    kind = {"repo_id": repository.name, "repo_type": repository.kind}
    with hub_errors(repository):
        api.create_repo(**kind, private=private, exist_ok=True)
        parent = api.repo_info(**kind, revision=repository.revision).sha
        existing = api.list_repo_files(**kind, revision=parent)
        stale = sorted(set(existing) - set(files) - _OF_THE_SERVER)
        operations = [hub.CommitOperationAdd(name, path) for name, path in sorted(files.items())]
        operations += [hub.CommitOperationAdd(CARD, card.encode())]
        operations += [hub.CommitOperationDelete(name) for name in stale]
        commit = api.create_commit(
            **kind,
            operations=operations,
            revision=repository.revision,
            parent_commit=parent,
            commit_message=f"{len(files)} files",
        ).oid
        if forget:
            api.super_squash_history(**kind, branch=repository.revision)
            commit = api.repo_info(**kind, revision=repository.revision).sha
    return Pushed(repository=replace(repository, revision=commit), sent=len(files), removed=len(stale))


def resolve_commit(repository: HubRepository) -> HubRepository:
    """Return the repository at the commit that its revision names now. Raises UserError."""
    if repository.is_pinned:
        return repository
    hub = import_client()
    with hub_errors(repository):
        commit = hub.HfApi().repo_info(repository.name, repo_type=repository.kind, revision=repository.revision).sha
    return replace(repository, revision=str(commit))


def list_files(repository: HubRepository) -> list[str]:
    """Return the names of the files of a repository but its card. Raises UserError.

    Names come from a stranger: one that would leave the folder that it is written to is refused.
    """
    hub = import_client()
    with hub_errors(repository):
        names = hub.HfApi().list_repo_files(repository.name, repo_type=repository.kind, revision=repository.revision)
    for name in names:
        parts = name.split("/")
        if name.startswith("/") or "\\" in name or ".." in parts or "" in parts:
            raise UserError(f"{repository}: has a file {name!r}, a name that leads out of a folder; do not trust it")
    return sorted(set(names) - _OF_THE_SERVER)


def pull_files(repository: HubRepository, names: Collection[str], folder: Path | None = None) -> Path:
    """Return the folder that holds the files `names` of a repository, which are fetched where they are missing.

    folder: where to write them, with the client's notes in `.cache`; None: the client's own cache, which serves
    without a network too. Raises UserError.
    """
    hub = import_client()
    with hub_errors(repository):
        return Path(
            hub.snapshot_download(
                repository.name,
                repo_type=repository.kind,
                revision=repository.revision,
                allow_patterns=[_escape(name) for name in names],
                local_dir=folder,
            )
        )


def _escape(name: str) -> str:
    """Return the pattern that matches a name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
