"""Labelled data sets, their folds, and what is trained and tested on them."""
