"""The trainer that all training stages share: loop, optimizer, checkpoints and metrics."""
