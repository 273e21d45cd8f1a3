"""The project's exceptions. Everything raised on purpose derives from `TandemError`."""


class TandemError(Exception):
    """Base of every error that the project raises on purpose."""


class ConfigError(TandemError, ValueError):
    """A model, build or sampling option breaks a rule; the text names the option."""


class CheckpointError(TandemError, ValueError):
    """A checkpoint does not agree with itself; the text names file and tensor."""


class BundleError(TandemError, ValueError):
    """A bundle is damaged, expired, of another version, or lacks what was asked of it."""


class ExportError(TandemError, RuntimeError):
    """A graph was traced but its exported form disagrees with the reference."""


class RequestError(TandemError, ValueError):
    """A generation request cannot be served by this bundle; nothing was changed."""


class ServingError(TandemError, RuntimeError):
    """A model server cannot be reached, does not serve the model, or lost a session."""


class QueueFullError(RequestError):
    """As many requests are waiting as the engine lets wait; try again later."""


class DeadlineError(RequestError):
    """A request's deadline passed; tokens that were delivered before it stand."""


class EngineClosedError(RequestError):
    """The engine was closed, before the request was made or while it was in progress."""


class ExecutorError(TandemError, RuntimeError):
    """What runs the graphs failed while it served a request; other requests go on."""
