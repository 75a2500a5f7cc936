"""Numbers about a finished run: funnel, scores, what-if, calibration, review."""
