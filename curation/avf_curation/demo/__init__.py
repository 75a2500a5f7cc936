"""The demo corpus, made by code: drawn speakers, synthesised speech, and the verdicts that the pipeline must reach."""
