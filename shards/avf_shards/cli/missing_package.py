"""What a user installs where a package is missing: each program is an extra of the distribution."""

import sys

DISTRIBUTION = "avf-foundry"
_EXTRAS = {"avf-shards": "curate", "avf-curate": "curate", "avf-train": "train"}
_DETECTORS = ("torch", "torchvision", "matplotlib")  # what `detectors` adds to `curate`
_FETCH = {"yt_dlp": "fetch"}  # in no other extra, nor in `all`
_OWN = ("avf_shards", "avf_curation", "avf_training")


def describe_missing_package(program: str, error: ModuleNotFoundError) -> str | None:
    """Return the sentence for a user who lacks a package; None where the module belongs to Python or to this project.

    Args:
        program: the command line's first word.
        error: from the import.
    """
    name = (error.name or "").partition(".")[0]
    if not name or name in _OWN or name in sys.stdlib_module_names:
        return None
    extra = _EXTRAS.get(program, "all")
    if program == "avf-curate":
        extra = "detectors" if name in _DETECTORS else _FETCH.get(name, extra)
    return (
        f"this needs the package {name}, which is not installed; get it with\n  pip install '{DISTRIBUTION}[{extra}]'"
    )
