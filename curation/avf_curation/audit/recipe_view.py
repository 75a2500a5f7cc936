"""A recipe as people and editors see it: each setting with where it was given, and the JSON Schema of the file."""

from avf_shards.packing.selection import Selection
from avf_shards.settings.json_schema import DIALECT, Schema, table_schema
from avf_shards.settings.origins import SettingOrigin, list_settings
from avf_shards.settings.yaml_settings import read_settings
from avf_shards.system.installed_packages import list_additions

from avf_curation.recipe import DEFAULT, Recipe, RunConfig, SourceSettings
from avf_curation.stages.added_settings import FACE_FINDERS, extend_settings
from avf_curation.stages.added_stages import is_usable, list_stage_names, load_stage


def list_recipe_settings(recipe: Recipe) -> list[SettingOrigin]:
    """Return every setting: those of all sources, those of the run, and what a source has differently."""
    shared = list_settings(recipe.defaults, recipe.positions)
    values = {setting.name: setting.value for setting in shared}
    settings = [*shared, *list_settings(recipe.run, recipe.positions, "run.")]
    for name, source in recipe.sources.items():
        prefix = f"sources.{name}."
        settings += [
            setting
            for setting in list_settings(source, recipe.positions, prefix)
            if setting.value != values.get(setting.name.removeprefix(prefix))
        ]
    if recipe.hybrid is not None:
        settings += list_settings(recipe.hybrid, recipe.positions, "hybrid.")
    return settings


def recipe_schema() -> Schema:
    """Return the JSON Schema of a recipe: any of the default recipe's settings, for all sources or for one of them.

    Stages of installed packages are among them; one that cannot be used is left out.
    """
    defaults = read_settings(DEFAULT).values
    added = (load_stage(name) for name in list_stage_names() if is_usable(name))
    finders = tuple(sorted(list_additions(FACE_FINDERS)))
    settings = extend_settings(SourceSettings, tuple(stage for stage in added if stage is not None), finders)
    schema = table_schema(settings, defaults)
    source = table_schema(settings)
    schema["properties"] |= {
        "run": table_schema(RunConfig, defaults["run"]) | {"description": "settings that all sources share"},
        "sources": {
            "type": "object",
            "additionalProperties": source,
            "description": "name of a source -> the settings that it has differently",
        },
        "hybrid": {
            "anyOf": [table_schema(Selection), {"type": "null"}],
            "description": "what is selected from a finished run: quotas of sources, and stricter thresholds",
        },
    }
    return {"$schema": DIALECT, "title": "Recipe of avf-curate", **schema}
