"""Reads Hugging Face folders."""
