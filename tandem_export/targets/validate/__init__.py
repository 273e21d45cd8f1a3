"""Checks what a target wrote: signature first, then values."""
