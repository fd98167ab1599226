"""The embedding store: each text's embedding on disk, once per teacher, shared by all runs and processes of a user."""
