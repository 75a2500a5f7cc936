"""The loss of pre-training: reconstruction targets, masked error, and the contrastive loss between modalities."""
