"""Face pictures that image models learn from: their streams, image MAE, and its fine-tuning to extractors."""
