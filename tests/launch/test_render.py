"""Rendered jobs: what is written is read again, checked, and its shell executed.

SEGJAX_GOLDEN=write pytest tests/launch/test_render.py writes the golden files anew, to be read.
"""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import yaml

from segjax.config import sweeps
from segjax.errors import UserError
from segjax.launch import cluster as clusters
from segjax.launch.engines.render import seen
from segjax.launch.rendering import amounts, gcluster, jobset, shell, skypilot, tpu_vm
from segjax.launch.rendering.task import Task
from segjax.train import sweepdir
from tests.launch import rendering, schemas

GOLDEN = pathlib.Path(__file__).parent / "golden"
POD, GPUS = rendering.examples()
EACH = GPUS | {"tasks_per_node": 8, "cpus_per_task": 12}
# SkyPilot's Cloud TPUs share a bucket
BUCKET = POD | {"volume": "gs://lab-segmentation"}
RENDERED = {
    "v5e": (POD, ("jobset", "gcluster", "tpu_vm")),
    "v5e_bucket": (BUCKET, ("skypilot",)),
    "h100": (GPUS, ("sbatch", "jobset", "gcluster", "skypilot")),
    "h100_process_each": (EACH, ("sbatch", "jobset", "gcluster", "skypilot")),
}
AWKWARD = [
    "it's",
    'a "word"',
    "$HOME $(X) $((1 + 1)) ${X} $$ $",
    "`false` \\ \\n !! # ; & | > *",
    "  blanks\tand a tab ",
    "two\nlines\n",
    "{braces} %s é 你 \u2028 \x7f",
    "",
    "- a: b",
]
VARIABLES = {"X": "expanded", "HOME": "/root", "JOB_COMPLETION_INDEX": "3"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def machines(tmp_path):
    return rendering.Machines(tmp_path)


def cluster_of(values, **more):
    return clusters.Cluster(**(values | more))


def task_of(words=AWKWARD, name="0123456789"):
    return Task(name, [sys.executable, "-P", "-m", "segjax.cli", "train", *words])


@pytest.mark.parametrize("name", RENDERED)
def test_golden_files(here, name):
    values, formats = RENDERED[name]
    for one in formats:
        rendering.render(here, values, one)
    files = {path.name: path.read_text() for path in (here / "runs/fovea/render").iterdir()}
    folder = GOLDEN / name
    # Of this machine are the current folder and its Python
    made = {
        file: text.replace(str(here), "/home/me").replace(sys.executable, "/home/me/python")
        for file, text in files.items()
    }
    if os.environ.get("SEGJAX_GOLDEN") == "write":
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in made.items():
            (folder / file).write_text(text)
    assert made == {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("name", RENDERED)
def test_yaml_has_the_fields_of_the_schemas(name):
    if (file := GOLDEN / name / "jobset.yaml").exists():
        documents = list(yaml.safe_load_all(file.read_text()))
        assert len(documents) == len(rendering.POINTS)
        for one in documents:
            assert schemas.faults(one, schemas.JOBSET) == []
    if (file := GOLDEN / name / "skypilot.yaml").exists():
        assert schemas.faults(yaml.safe_load(file.read_text()), schemas.SKYPILOT) == []


def test_schemas_find_faults():
    one = next(yaml.safe_load_all((GOLDEN / "v5e" / "jobset.yaml").read_text()))
    job = one["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["completions"] = "64"
    job["template"]["spec"]["containers"][0]["imag"] = "x"
    one["spec"]["failurePolicy"]["restartStrategy"] = "Recreated"
    assert len(schemas.faults(one, schemas.JOBSET)) == 3


def test_a_jobset_of_a_v5e_pod():
    one = next(yaml.safe_load_all((GOLDEN / "v5e" / "jobset.yaml").read_text()))
    job = one["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    assert job["completions"] == job["parallelism"] == 64
    assert one["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "tpus"}
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "16x16",
    }
    assert pod["containers"][0]["resources"] == {"limits": {"google.com/tpu": 4}}
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2]
    assert pod["containers"][0]["args"][0].rstrip().endswith("--distributed")


@pytest.mark.parametrize("name", RENDERED)
def test_shell_is_bash(name):
    scripts = sorted((GOLDEN / name).glob("*.sh"))
    assert scripts or name == "v5e_bucket"
    for script in scripts:
        subprocess.run(["bash", "-n", script], check=True)


def trained(words, python="python"):
    """The words of a process, up to those that are of the cluster."""
    assert pathlib.Path(words[0]).name == python
    assert words[1:5] == ["-P", "-m", "segjax.cli", "train"]
    end = words.index("--watchdog=1800")
    return words[5:end], words[end + 2 :]


def jobset_script(cluster, task):
    text = jobset.files(cluster, [task], "# note\n")[jobset.FILE]
    container = yaml.safe_load(text)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"][
        "spec"
    ]["containers"][0]
    assert container["command"] == ["bash", "-c"]
    return rendering.in_kubernetes(container["args"][0], VARIABLES)


@pytest.mark.parametrize("values", [POD, GPUS])
def test_words_survive_a_jobset(machines, values):
    machines.add("python")
    done, notes = machines.bash(jobset_script(cluster_of(values), task_of()), **VARIABLES)
    assert done.returncode == 0, done.stderr
    words, rest = trained(notes[0]["words"])
    assert words == AWKWARD
    first = "fovea-0123456789-host-0-0.fovea-0123456789"
    alone = [f"--coordinator={first}:8476", "--processes=4", "--process=3"]
    assert rest == (["--distributed"] if values is POD else alone)


def test_words_survive_gcluster(machines, tmp_path):
    machines.add("gcluster")
    machines.add("python")
    script = gcluster.files(cluster_of(GPUS), [task_of()], "# note\n")[gcluster.FILE]
    done, notes = machines.bash(script, GKE_CLUSTER="my cluster")
    assert done.returncode == 0, done.stderr
    flags = dict(word.removeprefix("--").split("=", 1) for word in notes[0]["words"][3:])
    assert notes[0]["words"][1:3] == ["job", "submit"]
    assert flags["cluster"] == "my cluster" and flags["name"] == "fovea-0123456789"
    assert (flags["compute-type"], flags["num-nodes"]) == ("a3-highgpu-8g", "4")
    command = rendering.in_kubernetes(flags["command"], VARIABLES)
    _, notes = machines.bash(command, **VARIABLES)
    words, rest = trained(notes[0]["words"])
    assert words == AWKWARD and rest[-1] == "--process=3"


def test_gcluster_wants_the_name_of_a_cluster_and_names_what_it_refused(machines):
    machines.add("gcluster", "sys.exit('0123456789' in ' '.join(sys.argv))")
    tasks = [task_of(), task_of(name="abcdef0123")]
    script = gcluster.files(cluster_of(GPUS), tasks, "")[gcluster.FILE]
    done, notes = machines.bash(script)
    assert done.returncode != 0 and "GKE_CLUSTER" in done.stderr and notes == []
    done, notes = machines.bash(script, GKE_CLUSTER="c")
    assert done.returncode == 1 and len(notes) == 2
    assert done.stderr.strip() == "not submitted: fovea-0123456789"


def test_words_survive_skypilot(machines, tmp_path):
    machines.add("sky")
    machines.add("python")
    odd = "o'd$d"
    tasks = [task_of(["other"]), task_of(name=odd)]
    for name, text in skypilot.files(cluster_of(GPUS), tasks, "# note\n").items():
        (tmp_path / name).write_text(text)
    done, notes = machines.bash([tmp_path / skypilot.LAUNCH])
    assert done.returncode == 0, done.stderr
    assert [note["words"][4] for note in notes] == ["fovea-0123456789", f"fovea-{odd}"]
    assert notes[1]["words"][-2:] == [f"POINT={odd}", str(tmp_path / skypilot.TASK)]

    run = yaml.safe_load((tmp_path / skypilot.TASK).read_text())["run"]
    node = {"SKYPILOT_NODE_RANK": "2", "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2"}
    _, notes = machines.bash(run, POINT=odd, **node)
    words, rest = trained(notes[0]["words"])
    assert words == AWKWARD
    assert rest == ["--coordinator=10.0.0.1:8476", "--processes=4", "--process=2"]
    done, notes = machines.bash(run, POINT="another", **node)
    assert done.returncode == 2 and notes == []


def test_points_follow_each_other_on_tpu_vms_and_a_failed_one_leaves_the_rest(machines, tmp_path):
    mount = tmp_path / "it's shared"
    mount.mkdir()
    machines.add("python3")
    # As ssh does, with the shell of the machine
    command = "next(w for w in sys.argv if w.startswith('--command=')).removeprefix('--command=')"
    machines.add("gcloud", f"os.chdir('/')\nos.execvp('bash', ['bash', '-c', {command}])")
    tasks = [task_of(name="first"), task_of(name="second"), task_of(["last"], name="third")]
    cluster = cluster_of(POD, mount=str(mount), setup=('test "$HOME" || exit 7',))
    script = tpu_vm.files(cluster, tasks, "# note\n")[tpu_vm.FILE]
    script = script.replace("run second <<'COMMAND'\n", "run second <<'COMMAND'\nexit 2\n")
    done, notes = machines.bash(script)
    assert done.returncode == 1 and done.stderr.strip() == "failed: second"
    assert done.stdout.splitlines() == ["point first", "point second", "point third"]
    assert "--worker=all" in notes[0]["words"] and "--zone=us-west4-a" in notes[0]["words"]
    assert trained(notes[1]["words"], "python3") == (AWKWARD, ["--distributed"])
    assert trained(notes[-1]["words"], "python3")[0] == ["last"]


def test_several_processes_on_a_machine(machines):
    machines.add("python", "sys.exit({'27': 2, '28': 1}.get(sys.argv[-1].split('=')[1], 0))")
    done, notes = machines.bash(jobset_script(cluster_of(EACH), task_of()), **VARIABLES)
    assert done.returncode == 2, "wrong input is not passed on"
    found = {
        note["words"][-1]: (note["words"][5:14], note["environment"]["JAX_LOCAL_DEVICE_IDS"])
        for note in notes
    }
    assert found == {f"--process={24 + i}": (AWKWARD, str(i)) for i in range(8)}
    # Two processes of four GPUs
    pairs = cluster_of(EACH, tasks_per_node=2)
    _, notes = machines.bash(jobset_script(pairs, task_of([])), **VARIABLES)
    devices = {n["words"][-1]: n["environment"]["JAX_LOCAL_DEVICE_IDS"] for n in notes}
    assert devices == {"--process=6": "0,1,2,3", "--process=7": "4,5,6,7"}


def test_a_stopped_machine_tells_its_processes_and_waits_for_them(machines):
    # The one that is waited for first takes longest
    saves = """
        import signal, time
        def save(*unused):
            time.sleep(1 if sys.argv[-1].endswith("12") else 0)
            open(os.path.dirname(sys.argv[0]) + "/saved" + sys.argv[-1], "w")
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        open(os.path.dirname(sys.argv[0]) + "/ready" + sys.argv[-1], "w")
        time.sleep(60)
    """
    machines.add("python", saves)
    script = jobset_script(cluster_of(EACH, tasks_per_node=4), task_of([]))
    child = subprocess.Popen(["bash", "-c", script], env=machines.environment | VARIABLES)
    until = time.monotonic() + 30
    while len(list(machines.folder.glob("ready*"))) < 4:
        assert time.monotonic() < until
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=30) == 0
    saved = sorted(path.name for path in machines.folder.glob("saved*"))
    assert saved == [f"saved--process={i}" for i in range(12, 16)]


def test_what_does_not_fit_is_left_out_of_all(here, capsys):
    folder = rendering.render(here, POD, "all")
    assert {path.name for path in folder.iterdir()} == {
        *("jobset.yaml", "gcluster.sh", "tpu_vm.sh", "Dockerfile")
    }
    printed = capsys.readouterr().out
    assert "kubectl create -f runs/fovea/render/jobset.yaml" in printed
    assert "skypilot: left out" in printed and "sbatch: left out" in printed


def test_only_what_is_missing_is_written(here, monkeypatch):
    folder = rendering.render(here, POD, "jobset")
    assert (folder / "jobset.yaml").read_text().count("kind: JobSet") == 2
    folder = rendering.render(here, POD, "jobset", rendering.POINTS[1:])
    text = (folder / "jobset.yaml").read_text()
    assert text.count("kind: JobSet") == 1 and sweeps.point_id(rendering.POINTS[1]) in text
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_paths_are_those_of_the_machines(here, monkeypatch):
    shared = here / "work"
    (shared / "project").mkdir(parents=True)
    assert str(seen(pathlib.Path("runs/s"), "/work")) == "/work/runs/s"
    assert str(seen(shared / "runs/s", str(shared))) == str(shared / "runs/s")
    for outside in (here / "runs", pathlib.Path("../s")):
        with pytest.raises(UserError, match="cluster.mount"):
            seen(outside, "/work")
    # Where the volume is mounted at the same place, a relative folder is itself
    monkeypatch.chdir(shared / "project")
    assert seen(pathlib.Path("s"), str(shared)) == shared / "project" / "s"
    link = here / "link"
    link.symlink_to(shared)
    assert seen(pathlib.Path("s"), str(link)) == link / "project" / "s"


def test_amounts():
    times = {"": 0, "90": 5400, "1:30": 90, "2:00:05": 7205, "1-2": 93600, "1-0:30": 88200}
    assert {text: amounts.seconds(text) for text in times} == times
    assert amounts.seconds("2-01:00:30") == 2 * 86400 + 3630
    assert [amounts.quantity(text) for text in ("64G", "4000", "1T")] == ["64Gi", "4000Mi", "1Ti"]
    assert [amounts.gigabytes(text) for text in ("64G", "4000", "2T", "?")] == [64, 4, 2048, None]


def test_all_fields_but_those_of_slurm_are_written():
    """A field that changes nothing anywhere is forgotten."""
    slurms = {"partition", "account", "qos", "constraint", "array_limit", "options"}
    base = cluster_of(GPUS)
    formats = (jobset, gcluster, skypilot, tpu_vm)
    before = [one.files(base, [task_of()], "") for one in formats]
    for field in dataclasses.fields(base):
        value = getattr(base, field.name)
        other = {str: "x1", int: 2 + (value if isinstance(value, int) else 0), bool: not value}
        other |= {tuple: ("true",)}
        special = {"time": "90", "memory": "64G"}
        changed = {field.name: special.get(field.name, other[type(value)])}
        changed = dataclasses.replace(base, **changed)
        after = [one.files(changed, [task_of()], "") for one in formats]
        assert (after != before) == (field.name not in slurms), field.name


def test_quoting_is_of_one_line():
    for word in AWKWARD:
        assert shell.quoted(word).isprintable()


@pytest.mark.usefixtures("command_settings")
def test_command(here, data_dir, monkeypatch, capsys):
    from segjax.cli import main
    from tests.train import runs

    experiment = here / "experiment.py"
    experiment.write_text(
        "from experiments.fovea import common\n"
        "from segjax.config.sweeps import product\n"
        "from segjax.recipes.training import quick_optimizer\n"
        "def get_config(arg=None):\n"
        f"    config = common.localization({runs.DATA!r}, 'mse', 'max/sum', (4,), 32)\n"
        "    quick_optimizer(config, steps=2, learning_rate=1e-3)\n"
        "    return config\n"
        "def sweep():\n"
        "    return product(seed=[0, 1])\n"
    )
    monkeypatch.syspath_prepend(str(runs.ROOT))
    # A small batch for four chips
    small = POD | {"nodes": 1, "topology": "2x2"}
    file = rendering.section_file(here, small | {"image": ""})
    words = ["sweep", "--config", "experiment.py", "--workdir", "s", "--engine", "render"]
    words += ["--format", "jobset", "--cluster", str(file), f"--config.data.data_dir={data_dir}"]
    assert main(words) == 2
    line = "segjax: --format jobset: needs cluster.image (--cluster FILE has a [cluster] section)\n"
    assert capsys.readouterr().err == line
    assert not (here / "s").exists()

    rendering.section_file(here, small)
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "jobset.yaml: kubectl create -f s/render/jobset.yaml" in printed
    text = (here / "s" / "render" / "jobset.yaml").read_text()
    ids = {sweeps.point_id({"seed": seed}) for seed in (0, 1)}
    assert {one["metadata"]["name"] for one in yaml.safe_load_all(text)} == {
        f"fovea-{name}" for name in ids
    }
    assert f"data: {data_dir}" in text and "--config experiment.py" in text
    assert {path.name for path in (here / "s").iterdir()} >= {"render", sweepdir.MANIFEST}
    assert main([*words, "--format=none"]) == 2
