"""Feature tracks: what an extractor says of each frame of a video, computed once and read by everything after it."""
