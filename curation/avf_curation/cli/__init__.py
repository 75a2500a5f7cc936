"""The command line `avf-curate`."""
