"""Downstream: labelled data sets, their folds, metrics, and how their labels meet."""
