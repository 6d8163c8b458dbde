"""A real Slurm of one machine for tests: Debian's packages munge, slurmctld, slurmd, slurm-client.

python -m tests.launch.slurm_cluster     starts one, says how to use it, ends it with Ctrl-C
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SYSTEM = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CORES = 8  # that it gives out, whatever the machine has
CONFIG = """\
ClusterName=segjax
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
NodeName={host} CPUs={cores} State=UNKNOWN
PartitionName=requeued Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=cancelled Nodes=ALL PriorityTier=1 PreemptMode=CANCEL GraceTime=30
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def missing() -> list[str]:
    """Programs of Slurm that are not here."""
    return [name for name in PROGRAMS if shutil.which(name, path=SYSTEM) is None]


def require() -> None:
    """Skips the test where there is no Slurm, unless SEGJAX_REQUIRE asks for it."""
    if lacking := missing():
        line = f"no Slurm on this machine: {', '.join(lacking)} missing"
        if "slurm" in os.environ.get("SEGJAX_REQUIRE", "").split(","):
            pytest.fail(line)
        pytest.skip(line)


@contextlib.contextmanager
def started() -> Iterator[pathlib.Path]:
    """A running Slurm; gives its configuration file, which SLURM_CONF names to its commands."""
    # Not below pytest's folder: the path of a socket has to be short
    folder = pathlib.Path(tempfile.mkdtemp(prefix="slurm-"))
    for name in "munge", "state", "spool":
        (folder / name).mkdir()
    # munged wants others to be able to reach its socket, and to read its key not at all
    folder.chmod(0o711)
    (folder / "munge").chmod(0o711)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    values = {"folder": folder, "host": host, "ports": _free_ports(2), "cores": CORES}
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(user=pwd.getpwuid(os.getuid()).pw_name, **values))
    munge = [f"--{name}-file={folder}/munge/{name}" for name in ("key", "pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge/socket", *munge],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config)],
    ]
    environment = os.environ | {"PATH": SYSTEM, "SLURM_CONF": str(config)}
    running = []
    try:
        for words in commands:
            running.append(
                subprocess.Popen(
                    words,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            if words[0] == "munged":
                _wait(lambda: (folder / "munge" / "socket").exists(), folder)
        _wait(lambda: "idle" in _printed("sinfo", environment), folder)
        yield config
    finally:
        _printed("scancel --me", environment)
        with contextlib.suppress(AssertionError):
            _wait(lambda: not _printed("squeue --noheader", environment), folder)
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in probes]


def _printed(line: str, environment: dict[str, str]) -> str:
    done = subprocess.run(line.split(), env=environment, capture_output=True, text=True)
    return done.stdout.strip()


def _wait(condition, folder: pathlib.Path) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    logs = {path.name: path.read_text()[-1000:] for path in folder.glob("*.log")}
    raise AssertionError(f"Slurm does not start: {logs}")


if __name__ == "__main__":
    with started() as path:
        print(f"export SLURM_CONF={path}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    sys.exit()
