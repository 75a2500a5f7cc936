"""One video through the stages, and the units that videos are curated in."""
