"""The sequence in which training reads the clips: the mixture of the sources and the stream order."""
