"""From media to model input."""
