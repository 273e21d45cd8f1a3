"""Reads the schedule that the TPU compiler prints."""
