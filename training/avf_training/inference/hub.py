"""Saved models on the Hugging Face Hub, or any server that speaks its protocol.

from avf_training import from_pretrained, push_to_hub
model = from_pretrained("organization/name")            # or a folder, or organization/name@COMMIT
push_to_hub("MODEL", "organization/name", licence="cc-by-4.0")
"""

import json
from pathlib import Path
from typing import Any

from avf_shards.errors import UserError
from avf_shards.format.tar import sha256_file
from avf_shards.hub.repository import HubRepository, parse_repository
from avf_shards.hub.transfer import Pushed, list_files, pull_files, push_files, resolve_commit
from avf_shards.schema.versions import read_json
from avf_shards.system import durable_io

from avf_training.conversion.convert import convert_state_dict, read_authors_checkpoint
from avf_training.models.classifier import Classifier
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.pretrained import Pretrained
from avf_training.models.published import PUBLISHED, require_fetchable
from avf_training.models.saved_config import CONFIG, TITLES, WEIGHTS, read_saved_config, refuse_image_model
from avf_training.trainer.run_folder import RESULT
from avf_training.trainer.saved_model import start_model


def from_pretrained(name: Path | str, file: str | None = None) -> Pretrained:
    """Return a model by name, in eval mode: a folder, a run, or `organization/name[@REVISION]` on the Hub.

    A name of `avf-train weights ls`, such as `avfmaepp_h`, is the checkpoint that its authors publish on the Hub.

    What was fetched stays in the client's cache and serves without a network (HF_HUB_OFFLINE=1). Only tensors and a
    JSON config are read, never code.

    Args:
        file: checkpoint of the authors in the repository, such as `logs/x/checkpoint.pth`, which is converted.

    Raises UserError for what is no model, and where the Hub cannot be reached or refuses.
    """
    if file is not None:
        return _convert(parse_repository(str(name), "model"), file)
    path = Path(name)
    if str(name) in PUBLISHED and not path.exists():
        checkpoint = require_fetchable(str(name))
        if not checkpoint.repository:
            raise UserError(f"{name}: is not on the Hub; fetch it with avf-train weights pull {name} --out MODEL")
        return _convert(parse_repository(checkpoint.repository, "model"), checkpoint.file)
    folder = start_model(path) if path.exists() else fetch_model(parse_repository(str(name), "model"))
    values = read_saved_config(folder)
    refuse_image_model(values, name)
    for kind in (Classifier, MaskedAutoencoder):
        if values["kind"] == kind.kind:
            return kind.from_pretrained(folder)
    raise UserError(f"{name}: is {TITLES.get(values['kind'], values['kind'])}, which from_pretrained does not load")


def _convert(repository: HubRepository, file: str) -> Pretrained:
    """Return the model in a checkpoint of the authors that lies in a repository. Raises UserError."""
    pinned = resolve_commit(repository)
    if file not in (names := list_files(pinned)):
        files = [name for name in names if name.endswith((".pth", ".pt", ".bin"))]
        raise UserError(f"{pinned}: has no file {file!r}; its checkpoints are {', '.join(files) or 'none'}")
    converted = convert_state_dict(read_authors_checkpoint(pull_files(pinned, [file]) / file))
    if converted.kind == Classifier.kind and converted.outputs is not None:
        model: Pretrained = Classifier(converted.config, converted.outputs)
    elif converted.kind == MaskedAutoencoder.kind:
        model = MaskedAutoencoder(converted.config)
    else:
        raise UserError(
            f"{pinned}/{file}: holds encoders without decoders or head; `avf-train convert` makes a folder of them, "
            "from which fine-tuning starts"
        )
    model.load_state_dict(converted.tensors)
    return model.eval()


def fetch_model(repository: HubRepository) -> Path:
    """Return the folder in the client's cache that holds a model of the Hub. Raises UserError where it has none."""
    folder = pull_files(repository, [CONFIG, WEIGHTS])
    read_saved_config(folder)
    return folder


def pull_model(repository: HubRepository, out: Path) -> HubRepository:
    """Copy a model of the Hub into the new folder `out`, and return the repository at the commit that it is of.

    Raises UserError where `out` exists, and as `fetch_model`.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; name a new folder")
    pinned = resolve_commit(repository)
    folder = fetch_model(pinned)
    temporary = out.parent / f".pulling-{out.name}"
    out.parent.mkdir(parents=True, exist_ok=True)
    durable_io.make_new_folder(temporary)
    for name in (CONFIG, WEIGHTS):
        durable_io.write(temporary / name, (folder / name).read_bytes())
    try:
        durable_io.publish_folder(temporary, out)
    except durable_io.AlreadyExistsError:
        raise UserError(f"{out}: exists already; name a new folder") from None
    return pinned


def push_to_hub(model: Path | str, name: str, *, licence: str, private: bool = True, forget: bool = False) -> Pushed:
    """Make a repository of the Hub hold a saved model and its card, and return what was done.

    Args:
        model: a saved model, or a finished run, whose scores the card then has.
        name: `organization/name`, or `organization/name@BRANCH`.
        licence: as the Hub names licences, such as `mit` or `other`; whoever pushes answers for it.
        private: whether a new repository is visible to its owners alone.
        forget: squash the repository's history.

    Raises UserError for what is no saved model, for adapters, whose base lies elsewhere, and as `push_files`.
    """
    repository = parse_repository(name, "model")
    folder = start_model(Path(model))
    values = read_saved_config(folder)
    if "base" in values:
        raise UserError(f"{model}: holds adapters alone, and their base is a folder of this machine; merge them first")
    card = model_card(Path(model), folder, values, repository, licence)
    files = {each: folder / each for each in (CONFIG, WEIGHTS)}
    return push_files(files, card, repository, private=private, forget=forget)


def model_card(model: Path, folder: Path, values: dict[str, Any], repository: HubRepository, licence: str) -> str:
    """Return the card of a model: what it is, the digest of its weights, its outputs and scores, and how it is used."""
    spec = values.get("output_spec") or {}
    names = ", ".join(map(str, spec.get("names") or ())) or "without names"
    lines = [
        "---",
        f"license: {licence}",
        "library_name: avf-foundry",
        "tags:",
        "- audio-visual",
        "- emotion-recognition",
        "---",
        f"# {repository.name}",
        "",
        f"{TITLES[values['kind']].capitalize()} of AVF Foundry: `{values['model'].get('name', 'unnamed')}`, "
        f"modalities `{values['model'].get('modalities', 'av')}`.",
        "",
        f"SHA-256 of the weights: `{sha256_file(folder / WEIGHTS)}`.",
        "",
    ]
    if values["kind"] == Classifier.kind:
        lines += [f"Outputs: {names}.", ""]
    lines += _score_lines(model, folder)
    lines += [
        "```python",
        "from avf_training import from_pretrained",
        "",
        f'model = from_pretrained("{repository.name}")',
        "```",
        "",
        "or `avf-train pull " + repository.name + " --out MODEL`, which every command then takes as `--model MODEL`.",
        "",
    ]
    return "\n".join(lines)


def _score_lines(run: Path, folder: Path) -> list[str]:
    """Return the test scores of a finished run by the protocol that chose its model; nothing for a folder alone."""
    if not (run / RESULT).is_file() or folder == run:
        return []
    result = read_json(run / RESULT, "test result")
    protocol = folder.name if folder.name in result.get("protocols", {}) else "last"
    scored = result.get("protocols", {}).get(protocol)
    if not scored:
        return []
    people = f" of {scored['people']} people" if scored.get("people") else ""
    rows = [
        f"| {name} | {score['value']:.4f} |" for name, score in scored["scores"].items() if score["value"] is not None
    ]
    chosen = "after the last step" if protocol == "last" else f"of the epoch that `{protocol}` chose"
    return [
        f"Scores on the test clips{people} of `{json.dumps(result.get('data'))[1:-1]}`, {chosen}:",
        "",
        "| metric | value |",
        "|---|---|",
        *rows,
        "",
    ]
