"""Defines the signatures of a SavedModel: pool of slots, preconditions, methods."""
