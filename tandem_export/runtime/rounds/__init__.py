"""Defines the executor protocol, and puts rounds together from single steps."""
