"""Pages of the docs site that are made from the code: commands, recipes, files, verdicts, the Python API."""
