"""Several models as one: folds, scenes, weights drawn at random, stacked forests, and the kernel ELM of functionals."""
