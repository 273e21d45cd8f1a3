"""Compares SPEED with the primary alone in alternating runs."""
