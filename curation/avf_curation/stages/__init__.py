"""The seven stages, a file each: a config, `measure` that returns scores, `decide` that compares them."""
