"""Studies: many runs of the stages as one matrix, resumed, spread over devices, and told on one page."""
