"""Errors a user can act on, and the exit codes of every command."""

EXIT_OK = 0
EXIT_FAILED = 1
"""A verdict failed: a critical finding, or a benchmark under its floor."""
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
"""Nothing could be reached: no such node, agent or device, or no permission."""
EXIT_PARTIAL = 4
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """Something the user asked for cannot be done: what and where in the message, what to do next in the hint."""

    def __init__(self, message: str, hint: str = "", code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        """The exit code of the command that ends with this error."""


class Unreachable(UserError):
    """Nobody there to answer: no device, agent, socket or permission."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, EXIT_UNREACHABLE)
