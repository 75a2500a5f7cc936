"""Raw talking-face video becomes spans with a verdict for every second of input, and clips in training-ready shards."""
