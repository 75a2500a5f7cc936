"""The command line `avf-shards`."""
