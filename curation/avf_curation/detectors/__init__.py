"""Third-party detectors, networks and signal measures behind the stages."""
