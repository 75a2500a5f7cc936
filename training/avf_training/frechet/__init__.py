"""Fréchet and kernel distances of two sets of videos or pictures (FID, FVD, KID), in the protocols of the field."""
