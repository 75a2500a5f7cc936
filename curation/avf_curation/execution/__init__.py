"""Workers: in this process, in a child, on Ray."""
