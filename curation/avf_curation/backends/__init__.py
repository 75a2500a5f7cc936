"""The only place where heavy third-party packages are imported, one file each, lazily where they are slow."""
