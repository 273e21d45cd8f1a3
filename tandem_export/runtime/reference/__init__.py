"""Computes in plain numpy what graphs/numerics and graphs/round compute in jax."""
