"""What memory there is, and tables of rows that may be larger than it."""
