"""Models from brain to embeddings, one module a system."""
