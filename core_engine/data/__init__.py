"""From data sources to the tensors that training and evaluation use."""
