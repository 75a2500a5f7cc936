"""What every training stage shares: loop, optimizer, checkpoints, metrics."""
