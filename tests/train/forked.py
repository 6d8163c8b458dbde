"""Commands in processes of their own, forked from one that has loaded JAX and segjax already.

Loading them takes longer than a short run, and each process of `make test` does it once. Whole
commands, as a user starts them, are those of `make test-kills` and of tests/launch/test_local.py.
"""

import atexit
import multiprocessing
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile

SERVER = multiprocessing.get_context("forkserver")
# None of them looks for devices while it is loaded, which a fork would not survive.
SERVER.set_forkserver_preload(["segjax.cli.commands", "segjax.launch.job", "segjax.launch.sweep"])


class Forked:
    """What `subprocess.Popen` gives of `python -m segjax.cli WORDS`, as far as tests ask for it.

    Its output goes to files, where nobody has to read it before the process can go on.
    """

    def __init__(self, words: list[str], env: dict[str, str], cwd=None, *, merged: bool = False):
        names = ("output",) if merged else ("output", "errors")
        self._folder = pathlib.Path(tempfile.mkdtemp())
        self._files = [self._folder / name for name in names]
        arguments = (words, env, cwd, self._files[0], self._files[-1])
        self._process = SERVER.Process(target=_run, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str | None]:
        """The output and, unless they were merged, the errors, when the process has ended."""
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired("segjax", timeout)
        texts = [path.read_text() if path.exists() else "" for path in self._files]
        shutil.rmtree(self._folder)
        return texts[0], texts[1] if len(texts) > 1 else None


def _run(words, env, cwd, output, errors) -> None:
    os.environ.clear()
    os.environ.update(env)
    for descriptor, path in ((1, output), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    if cwd is not None:
        os.chdir(cwd)
    import jax

    # Read from the environment when JAX was loaded, which was that of another process
    jax.config.update("jax_num_cpu_devices", int(env["JAX_NUM_CPU_DEVICES"]))
    sys.argv[1:] = words
    try:
        runpy.run_module("segjax.cli", run_name="__main__", alter_sys=True)
    finally:
        # Those of the libraries, which a forked process leaves out
        atexit._run_exitfuncs()
