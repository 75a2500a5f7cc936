"""Folders of shards as data sets of the Hub. `webdataset` and `datasets` read them there as they are."""

from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.generations import is_writers_own
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.shard_manifest import ShardManifest, read_manifest
from avf_shards.hub.repository import HubRepository, import_client
from avf_shards.hub.transfer import Pushed, list_files, pull_files, push_files, resolve_commit
from avf_shards.packing.verify import verify_shards
from avf_shards.system import durable_io
from avf_shards.system.storage_faults import read_bytes


def push_shards(
    shards: Path, repository: HubRepository, *, licence: str, private: bool = True, forget: bool = False
) -> Pushed:
    """Make a data set of the Hub hold exactly the shards in a folder, and return what was done.

    Clips that were deleted from the shards leave the data set too; earlier commits of it keep them unless `forget`.
    Raises UserError for shards that are damaged, or change meanwhile, and as `push_files`.

    Args:
        licence: as the Hub names licences, `cc-by-4.0` or `other`; whoever pushes answers for it.
        private: whether a new data set is visible to its owners alone.
        forget: squash the history of the data set.
    """
    import_client()  # what is missing is said before every byte is read
    _require_intact(shards, "push")
    before = read_bytes(shards / MANIFEST)
    files = {path.name: path for path in sorted(shards.iterdir()) if path.is_file() and not is_writers_own(path)}
    card = shards_card(read_manifest(shards), repository, licence)
    pushed = push_files(files, card, repository, private=private, forget=forget)
    if read_bytes(shards / MANIFEST) != before:
        raise UserError(
            f"{shards}: was changed while it was pushed; push it again, and until then do not use {pushed.repository}"
        )
    return pushed


def pull_shards(repository: HubRepository, out: Path) -> HubRepository:
    """Fetch the shards of a data set into the new folder `out`, and return the repository at their commit.

    The folder appears when every byte is there and is as packed. A pull that was stopped goes on where it was.
    Raises UserError where `out` exists, for a data set without shards, and for damage.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; name a new folder")
    pinned = resolve_commit(repository)
    names = list_files(pinned)
    if MANIFEST not in names:
        raise UserError(f"{pinned}: holds no shards (no {MANIFEST})")
    strange = [name for name in names if "/" in name or name.startswith(".")]
    if strange:
        raise UserError(f"{pinned}: has {strange[0]!r} beside shards, which no pack writes; do not trust it")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Of each commit its own, so that what a pull of another one left is not mixed in.
    staging = out.parent / f".pulling-{out.name}-{pinned.revision[:12]}"
    pull_files(pinned, names, staging)
    durable_io.remove(staging / ".cache")  # the client's notes
    try:
        _require_intact(staging, "keep")
    except UserError:
        durable_io.remove(staging)
        raise
    for name in names:
        durable_io.sync_file(staging / name)
    try:
        durable_io.publish_folder(staging, out)
    except durable_io.AlreadyExistsError:
        raise UserError(f"{out}: exists already; name a new folder") from None
    return pinned


def _require_intact(shards: Path, use: str) -> None:
    faults = verify_shards(shards)
    if faults:
        others = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise UserError(f"{shards}: cannot {use} damaged shards: {faults[0]}{others}")


def shards_card(manifest: ShardManifest, repository: HubRepository, licence: str) -> str:
    """Return the card of a data set of shards: what they hold, and how they are fetched and read."""
    clips = {source: 0 for entry in manifest.shards for source in entry.clips}
    seconds = dict.fromkeys(clips, 0.0)
    for entry in manifest.shards:
        for source, count in entry.clips.items():
            clips[source] += count
            seconds[source] += entry.seconds[source]
    noun = manifest.content
    rows = [f"| {source} | {clips[source]} | {seconds[source] / 3600:.2f} |" for source in sorted(clips)]
    return "\n".join(
        [
            "---",
            f"license: {licence}",
            "tags:",
            "- webdataset",
            "- avf-foundry",
            "---",
            f"# {repository.name}",
            "",
            f"{len(manifest.shards)} shards of {noun} for audio-visual masked autoencoders, packed by AVF Foundry.",
            "",
            f"| source | {noun} | hours |",
            "|---|---|---|",
            *rows,
            "",
            "Fetch and check every byte:",
            "",
            "```",
            f"avf-shards pull {repository.name} --out SHARDS",
            "```",
            "",
            f"Settings of the curation: `{manifest.fingerprint}`. Ledger: `{manifest.ledger_sha256}`. "
            f"Deleted since: {len(manifest.tombstones)}.",
            "",
        ]
    )
