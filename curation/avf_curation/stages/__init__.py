"""The six stages, one file each: a config, `measure` that gives scores, `decide` that compares them with thresholds."""
