"""The component ``multi``: several teachers, of which one gives the space."""
