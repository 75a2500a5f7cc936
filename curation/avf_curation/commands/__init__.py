"""What avf-curate does beside running: one file for each kind of question."""
