"""Which clip comes when: mixtures of sources and the stream order."""
