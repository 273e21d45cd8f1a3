"""The recipe behind the embedded demo checkpoint: Python source, from the standard library."""
