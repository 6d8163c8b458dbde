"""The ways a command ends badly, and what the user is told."""


class UserError(Exception):
    """The user's input was wrong: the command prints this one line and exits with status 2.

    The message names the culprit (file, row, config path or flag), says what came and what is
    taken.
    """


class DamagedError(UserError):
    """A file that cannot be used, and what to do about it.

    Attributes:
        fault: what is wrong with it, without the remedy, which is not the same in every verb.
    """

    def __init__(self, fault: str, remedy: str):
        super().__init__(f"{fault}; {remedy}")
        self.fault = fault


class Interrupted(Exception):
    """Work stopped early with its state saved: one line, exit status 1, and no traceback."""
