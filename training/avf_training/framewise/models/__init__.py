"""Networks of the frame-level systems: sequence models, encoders of sound, and the names of their checkpoints."""
