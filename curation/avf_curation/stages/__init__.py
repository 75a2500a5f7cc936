"""The six stages, a file each: a config, `measure` that returns scores, `decide` that compares them with thresholds."""
