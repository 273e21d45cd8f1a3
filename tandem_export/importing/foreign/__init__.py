"""Reads tensors under foreign names, with a map of names."""
