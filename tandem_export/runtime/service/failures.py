"""Words the errors with which requests end."""

from __future__ import annotations

from tandem_export.errors import DeadlineError, EngineClosedError, ExecutorError, TandemError
from tandem_export.runtime.service.task import Task


def executor_failed(error: Exception, doing: str) -> TandemError:
    """Returns the error of a request that an executor's `error` ends; a typed one stays as it is.

    Each request gets an object of its own, because raising one changes it.
    """
    if isinstance(error, TandemError):
        told = type(error)(*error.args)
    else:
        rule = f"the executor failed in {doing} of this request, which ends; others go on"
        told = ExecutorError(f"{rule}. Got: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def deadline_passed(task: Task, doing: str) -> DeadlineError:
    """Returns the error of a request whose deadline has passed while it was `doing`."""
    assert task.deadline is not None
    seconds = task.deadline - task.job.created
    rule = f"the request must end within its deadline of {seconds:.3g} s"
    hint = "Give it more time, or the engine fewer requests at once"
    return DeadlineError(f"{rule}. Got: {doing} when it passed. {hint}.")


def engine_closed() -> EngineClosedError:
    """Returns the error of a request that a closed engine cannot serve."""
    return EngineClosedError(
        "the engine must be open while it serves a request. Got: it is closed. Load another one; "
        "`close(drain=True)` finishes the requests in progress first."
    )
