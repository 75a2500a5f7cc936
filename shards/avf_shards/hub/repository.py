"""Repositories of the Hub: their names, and the errors of its client as sentences.

The client is the package huggingface_hub, an extra. It reads HF_ENDPOINT (another server), HF_TOKEN (who asks),
HF_HUB_OFFLINE=1 (nothing but the cache) and HF_HOME (where the cache is).
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from avf_shards.errors import UserError

RepositoryKind = Literal["dataset", "model"]
MAIN = "main"
_ADDRESS = "hf://"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class HubRepository:
    """A repository of the Hub at one revision."""

    name: str  # "organization/name"
    kind: RepositoryKind  # folders of shards are data sets there
    revision: str = MAIN  # branch, tag or commit

    @property
    def is_pinned(self) -> bool:
        """Return whether the revision is a commit, whose files never change."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


def parse_repository(text: str, kind: RepositoryKind) -> HubRepository:
    """Return the repository that `text` names: `organization/name`, `organization/name@REVISION`, or either after hf://.

    Raises UserError for another spelling.
    """
    name = text.removeprefix(_ADDRESS).removeprefix("datasets/" if kind == "dataset" else "models/")
    match = _NAME.fullmatch(name)
    if match is None or ".." in name:
        raise UserError(f"{text!r}: no name of a repository; write organization/name or organization/name@REVISION")
    return HubRepository(name=match[1], kind=kind, revision=match[2] or MAIN)


def import_client() -> Any:
    """Return the package huggingface_hub. Raises UserError where it is not installed."""
    if not sys.stderr.isatty():  # the client reads it when it is imported
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("huggingface_hub: is not installed; pip install 'avf-foundry[hub]'") from None
    return huggingface_hub


@contextmanager
def hub_errors(repository: HubRepository) -> Iterator[None]:
    """Raise what the client raises inside as UserError that names the repository and the way out."""
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{repository.name}: its owners ask for their terms to be accepted on {constants.ENDPOINT}, by the account "
            "of the token; do it there, and set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{repository}: the repository has no such revision; name a branch, a tag or a commit"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{repository.name}: there is no such {repository.kind} on {constants.ENDPOINT}, or it is private; check "
            "the name, and set HF_TOKEN to a token that may read it"
        ) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        if constants.is_offline_mode():
            raise UserError(
                f"{repository}: is not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it"
            ) from None
        raise UserError(
            f"{repository}: {constants.ENDPOINT} cannot be reached ({_first_line(error)}); try again"
        ) from None
    except errors.HfHubHTTPError as error:
        raise UserError(_answer(repository, error)) from None
    except ValueError as error:  # an answer that is no JSON, as of a proxy's page, or lacks what the client reads
        raise UserError(
            f"{repository}: {constants.ENDPOINT} does not answer as the Hub does ({_first_line(error)}); "
            "check HF_ENDPOINT"
        ) from None
    except (OSError, RuntimeError) as error:  # connections that break, and uploads that the client wraps
        if isinstance(error, OSError) and error.filename:
            raise
        raise UserError(f"{repository}: the transfer broke off ({_first_line(error)}); start it again") from None
    except Exception as error:
        # The client's HTTP library changed twice (requests, httpx, httpx2): its errors are known by their module.
        if type(error).__module__.split(".")[0] not in ("requests", "httpx", "httpx2", "httpcore"):
            raise
        raise UserError(
            f"{repository}: {constants.ENDPOINT} cannot be reached ({_first_line(error)}); try again"
        ) from None


def _answer(repository: HubRepository, error: Any) -> str:
    """Return the sentence for an answer of the server that is no success."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"{repository.name}: the server refuses (status {status}); set HF_TOKEN to a token that may do this"
    if status == 412:
        return f"{repository.name}: was changed by another push at the same time; push again"
    return f"{repository}: the server answered {status or 'with an error'} ({_first_line(error)}); try again later"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
