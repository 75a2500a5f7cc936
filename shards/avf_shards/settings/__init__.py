"""Settings: tables of values read from files, checked and bound to dataclasses."""
