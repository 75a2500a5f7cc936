"""Which frames, windows and stretches of sound a model gets: pure functions of labels, frame rate and mouth opening."""
