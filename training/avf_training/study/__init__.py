"""Studies: many runs of the stages as one matrix, resumed, distributed over devices, and reported on one page."""
