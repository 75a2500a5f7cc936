"""Process groups, collectives, and models parallelized over ranks."""
