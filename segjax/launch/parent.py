"""A child of a sweep ends with its parent, however that ends: killed, too.

The child's standard input is a pipe of which the parent alone has the other end. When it closes,
the child sends itself the signal that a stopped sweep sends: it saves and ends.
"""

import os
import signal
import subprocess
import threading

VARIABLE = "SEGJAX_PARENT_ON_STDIN"


def start(command: list[str], environment: dict[str, str], **options) -> subprocess.Popen:
    """Starts a command that ends with this process, if it calls `watch`."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment | {VARIABLE: "1"}, **options
    )


def watch() -> None:
    """In a child of a sweep: has SIGTERM sent to this process when its parent is gone."""
    # Taken out of the environment, which processes that this one starts inherit
    if os.environ.pop(VARIABLE, None):
        threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    # Nothing is ever written there; b"" is the end of the pipe
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
