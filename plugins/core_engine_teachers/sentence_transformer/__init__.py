"""The component ``sentence_transformer``: models saved by Sentence Transformers, read without that library."""
