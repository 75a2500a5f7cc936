"""Settings that the recipes of all stages share, and what they may be: a wrong one is refused before a run starts."""

from collections.abc import Iterator

_LEAST = {
    "seed": 0,
    "threads": 1,
    "workers": 0,
    "warmup_steps": 0,
    "nonfinite_limit": 1,
    "weight_decay": 0,
}
_MOST_SEED = 2**32 - 1  # of every generator that takes it


def describe_run_faults(recipe: object) -> Iterator[tuple[bool, str]]:
    """Yield for each shared setting that a recipe has whether it is wrong, and what to say of it, as `refuse` takes."""
    for name, least in _LEAST.items():
        value = getattr(recipe, name, None)
        if value is not None:
            yield value < least, f"{name} {value} must be at least {least}"
            yield name == "seed" and value > _MOST_SEED, f"{name} {value} must be at most {_MOST_SEED}"
    clip_norm, share = getattr(recipe, "clip_norm", None), getattr(recipe, "max_fault_share", None)
    if clip_norm is not None:
        yield clip_norm <= 0, f"clip_norm {clip_norm} must be above 0, or null"
    if share is not None:
        yield not 0 <= share <= 1, f"max_fault_share {share} must lie between 0 and 1"
