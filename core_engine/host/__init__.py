"""The plugin host: finds plugins, loads them, and keeps what they supply, stamped with who supplied it."""
