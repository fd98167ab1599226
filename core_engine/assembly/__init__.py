"""Puts the parts together: from a recipe to an engine, from a run folder to a core that can be used."""
