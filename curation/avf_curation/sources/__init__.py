"""One file per corpus: how its owners lay it out becomes the inputs of a run."""
