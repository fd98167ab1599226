"""Many runs of one recipe with other values, to find the best by its validation split."""
