"""The component ``precomputed``: embeddings that another program made."""
