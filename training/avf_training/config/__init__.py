"""Recipes: YAML values bound to dataclasses."""
