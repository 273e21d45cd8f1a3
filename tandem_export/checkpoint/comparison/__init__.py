"""Compares a checkpoint's outputs with its owner's reference."""
