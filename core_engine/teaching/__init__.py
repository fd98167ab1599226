"""Teaching: embeddings come from the teacher once, and from the embedding store ever after."""
