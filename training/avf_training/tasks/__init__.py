"""Tasks: the catalog of labelled data sets, their folds, and the clips that a run trains and tests on."""
