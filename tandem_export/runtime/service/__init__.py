"""Serves many requests at once over one executor: a queue, a scheduler and one worker thread.

`scheduling` decides, without threads or executors; `worker` acts; `service` is what callers reach.
"""
