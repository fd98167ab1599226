"""The recipe: from YAML with source positions to frozen attrs classes, with every problem reported at once."""
