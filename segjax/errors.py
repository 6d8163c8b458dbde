"""The two ways a command ends badly, and what the user is told."""


class UserError(Exception):
    """The user's input was wrong: the command prints this one line and exits with status 2.

    The message names the culprit (file, row, config path or flag), says what came and what is
    taken.
    """


class Interrupted(Exception):
    """Work stopped early with its state saved: one line, exit status 1, and no traceback."""
