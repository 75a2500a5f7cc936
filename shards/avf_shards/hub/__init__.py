"""Shards and models on the Hugging Face Hub, and on any server that speaks its protocol (HF_ENDPOINT)."""
