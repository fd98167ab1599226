"""The contracts everything else leans on: what a component is, what each kind of object can do, which hooks exist.

This package imports no other part of the engine, and neither torch nor transformers at run time, so a plugin
that only declares components costs nothing to load.
"""
