"""Trains a tandem drafter for an imported, frozen primary."""
