"""Exchange with Hugging Face: T5, mT5 and Switch Transformers, without torch."""
