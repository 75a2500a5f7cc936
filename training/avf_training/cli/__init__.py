"""The command line `avf-train`."""
