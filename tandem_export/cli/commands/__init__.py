"""Defines the commands, a file for each: they parse, call the library and print."""
