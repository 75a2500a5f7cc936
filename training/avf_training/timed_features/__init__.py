"""Features in time: a vector of an encoder for each frame of any rate, whose centre is that of the frame."""
