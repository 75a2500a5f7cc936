"""A fine-tuned model as an expert beside a multimodal language model: prompts, scores, projected tokens."""
