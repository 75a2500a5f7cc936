"""Commands of avf-train by what they are for."""
