"""Writes signatures and resources as a SavedModel."""
