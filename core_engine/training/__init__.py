"""Training: rows in a keyed order, a lean loop, schedules, stopping rules, checkpoints."""
