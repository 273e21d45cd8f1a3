"""The TPU compiler in a process of its own, and the schedule that it prints, read.

Nothing here knows graphs or models: the process starts with jax and libtpu alone.
"""
