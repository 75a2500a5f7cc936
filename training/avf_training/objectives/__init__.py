"""What pre-training minimises: reconstruction targets, their losses, and the contrastive loss between modalities."""
