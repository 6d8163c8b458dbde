"""What cannot be rendered is refused in one line, before a file is written."""

import pytest

from segjax.errors import UserError
from segjax.launch import cluster as clusters
from segjax.launch.engines.render import FORMATS, Render
from segjax.launch.rendering import jobset
from tests.launch import rendering

POD, GPUS = rendering.examples()
BUCKET = POD | {"volume": "gs://lab-segmentation"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "values, name, words",
    [
        (POD, "job_set", ["--format job_set", "did you mean 'jobset'?", ", ".join(FORMATS)]),
        (POD | {"image": ""}, "jobset", ["cluster.image", "--cluster"]),
        (POD | {"image": "", "queue": "", "volume": ""}, "jobset", ["image, cluster.queue, clus"]),
        (POD | {"project": "", "zone": ""}, "tpu_vm", ["cluster.project, cluster.zone"]),
        (POD | {"image": "", "zone": ""}, "all", ["cluster.image", "cluster.zone"]),
        (GPUS | {"accelerator": ""}, "skypilot", ["cluster.accelerator"]),
        (POD | {"nodes": 32}, "jobset", ["--topology 16x16", "256 chips", "128"]),
        (POD | {"topology": "16*16"}, "jobset", ["--topology '16*16'", "16x16"]),
        (POD | {"topology": ""}, "tpu_vm", ["--topology ''"]),
        (POD | {"tasks_per_node": 4}, "jobset", ["--tasks_per_node 4", "TPU"]),
        (GPUS | {"topology": "4x8"}, "jobset", ["--topology 4x8", "nvidia-h100-80gb"]),
        (POD, "sbatch", ["--format sbatch", "tpu-v5-lite-podslice"]),
        (GPUS, "tpu_vm", ["--format tpu_vm", "nvidia-h100-80gb"]),
        (POD, "skypilot", ["cluster.volume='shared'", "gs://"]),
        (BUCKET, "jobset", ["cluster.volume='gs://lab-segmentation'"]),
        (POD | {"name": "a" * 37}, "jobset", ["cluster.name", "36 letters"]),
        (POD | {"name": "a" * 33}, "gcluster", ["cluster.name", "32 letters"]),
        (POD | {"name": "My_Sweep"}, "jobset", ["cluster.name='My_Sweep'"]),
        (POD | {"mount": "work"}, "jobset", ["cluster.mount='work'"]),
    ],
)
def test_wrong_input_is_refused(here, values, name, words):
    with pytest.raises(UserError) as refused:
        rendering.render(here, values, name)
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value) and not (here / "runs").exists()


def test_the_longest_names_fit():
    for middle, longest in (("host", 36), ("main-job", 32)):
        assert jobset.too_long(clusters.Cluster(**(POD | {"name": "a" * longest})), middle) == ""
        assert len(f"{'a' * longest}-0123456789-{middle}-0-63-abcde") == 63


def test_pmap_takes_one_process():
    values = {name: None for name in clusters.FLAGS} | {"nodes": 2}
    with pytest.raises(UserError, match="config.parallel='pmap'"):
        Render(**values).check([rendering.config_of("pmap")])
    Render(**(values | {"nodes": 1})).check([rendering.config_of("pmap")])


@pytest.mark.parametrize("batch_size, taken", [(8, False), (255, False), (256, True), (512, True)])
def test_a_batch_that_the_devices_do_not_share_is_refused(here, batch_size, taken):
    engine = Render(cluster=str(rendering.section_file(here, POD)), format="jobset")
    configs = [rendering.config_of(batch_size=batch_size)]
    if taken:
        engine.check(configs)
        return
    line = f"config.data.batch_size={batch_size}: not divisible by the 256 devices of a point"
    with pytest.raises(UserError, match=line):
        engine.check(configs)
