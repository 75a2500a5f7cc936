"""The page of a frame-level task: scores beside the papers', curves over time, tables, and what was filled."""
