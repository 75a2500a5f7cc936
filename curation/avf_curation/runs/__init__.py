"""A run: plan, identity, coordination, resumption and its cost."""
