"""Parity of the frame-level side: our numbers beside files that the authors' code computed."""
