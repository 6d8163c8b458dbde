"""Kubernetes: a JobSet a point, which Kueue admits when its queue has room.

Fields: kubernetes-sigs/jobset, config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml, commit
01078527; length of names: its pkg/webhooks/jobset_webhook.go, commit ec942521; labels of nodes and
the annotation for TPUs: GKE's tutorial tpu-multislice-kueue.
"""

import re
from collections.abc import Sequence

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators, amounts, shell
from segjax.launch.rendering.task import Task
from segjax.launch.rendering.yaml_text import indented, scalar

RELATIVE = "the image's working folder"
FILE = "jobset.yaml"
HOSTS = "host"  # the replicated job, of which each pod is a machine
LONGEST_NAME = 63
RESTARTS = 10
KEPT = 86400  # seconds that a JobSet stays when it has ended, with the logs of its pods

POINT = """\
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    kueue.x-k8s.io/queue-name: {queue}{annotations}
spec:
  ttlSecondsAfterFinished: {kept}
  network:
    enableDNSHostnames: true
  failurePolicy:
    maxRestarts: {restarts}
    # The pods of before are gone when the new ones begin: two must not hold one work folder.
    restartStrategy: BlockingRecreate
    rules:
      - name: wrongInput
        action: FailJobSet
        onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
    - name: {hosts}
      replicas: 1
      template:
        spec:
          completionMode: Indexed
          completions: {nodes}
          parallelism: {nodes}
          backoffLimit: 0{deadline}
          podFailurePolicy:
            rules:
              # Wrong input stays wrong
              - action: FailJob
                onExitCodes:
                  containerName: train
                  operator: In
                  values: [{wrong}]
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: {grace}{selector}
              containers:
                - name: train
                  image: {image}
                  command: [bash, -c]
                  args:
                    - |
                      {script}{resources}
                  volumeMounts:
                    - name: shared
                      mountPath: {mount}{shm_mount}
              volumes:
                - name: shared
                  persistentVolumeClaim:
                    claimName: {volume}{shm}
"""
SHM_MOUNT = """
                    - name: shm
                      mountPath: /dev/shm"""
SHM = """
                # NCCL's, beyond the 64 MB of containers
                - name: shm
                  emptyDir:
                    medium: Memory"""


def needs(cluster: Cluster) -> tuple[str, ...]:
    """The fields that must say something."""
    return "image", "queue", "volume"


def unfit(cluster: Cluster) -> str:
    """Why the points do not fit; empty where they do."""
    if "://" in cluster.volume:
        return f"cluster.volume={cluster.volume!r}: a JobSet mounts a claim, and no bucket"
    return too_long(cluster, HOSTS)


def too_long(cluster: Cluster, hosts: str) -> str:
    """Why the names of pods would be refused: NAME-ID-HOSTS-0-INDEX and six letters more."""
    room = LONGEST_NAME - len(f"-0123456789-{hosts}-0-{cluster.nodes - 1}-abcde")
    if len(cluster.name) <= room:
        return ""
    return f"cluster.name={cluster.name!r}: the names of pods leave room for {room} letters"


def files(cluster: Cluster, tasks: Sequence[Task], notes: str) -> dict[str, str]:
    """One file of several documents."""
    return {FILE: notes + "".join(_point(cluster, task) for task in tasks)}


def following(folder: str) -> dict[str, str]:
    """By file, what a person runs next; points that are there already are left as they are."""
    return {FILE: f"kubectl create -f {folder}/{FILE}"}


def _point(cluster: Cluster, task: Task) -> str:
    name = f"{cluster.name}-{task.id}"
    script = shell.script(
        cluster,
        shell.command(shell.words(task, cluster)),
        rank="$JOB_COMPLETION_INDEX",
        # The stable name of the first pod
        first=f"{name}-{HOSTS}-0-0.{name}",
    )
    gpus = bool(cluster.accelerators) and not accelerators.is_tpu(cluster)
    return POINT.format(
        name=scalar(name),
        namespace=scalar(cluster.namespace),
        queue=scalar(cluster.queue),
        annotations=_annotations(cluster),
        kept=KEPT,
        restarts=RESTARTS if cluster.requeue else 0,
        hosts=HOSTS,
        nodes=cluster.nodes,
        deadline=_deadline(cluster),
        wrong=shell.WRONG,
        grace=shell.GRACE,
        selector=_selector(cluster),
        image=scalar(cluster.image),
        script=indented(escaped(script), 22),
        resources=_resources(cluster),
        mount=scalar(cluster.mount),
        volume=scalar(cluster.volume),
        shm_mount=SHM_MOUNT if gpus else "",
        shm=SHM if gpus else "",
    )


def escaped(script: str) -> str:
    """As Kubernetes reads arguments, in which $(NAME) is a variable and $$ a dollar sign."""
    return re.sub(r"\$(?=[$(])", "$$", script)


def _annotations(cluster: Cluster) -> str:
    """A slice of several machines is a node pool of its own."""
    if not accelerators.is_tpu(cluster):
        return ""
    name = "alpha.jobset.sigs.k8s.io/exclusive-topology"
    return f"\n  annotations:\n    {name}: cloud.google.com/gke-nodepool"


def _deadline(cluster: Cluster) -> str:
    limit = amounts.seconds(cluster.time)
    return f"\n          activeDeadlineSeconds: {limit}" if limit else ""


def _selector(cluster: Cluster) -> str:
    label = "cloud.google.com/gke-tpu" if accelerators.is_tpu(cluster) else "cloud.google.com/gke"
    labels = {f"{label}-accelerator": cluster.accelerator, f"{label}-topology": cluster.topology}
    lines = [f"\n                {key}: {scalar(value)}" for key, value in labels.items() if value]
    return "".join(["\n              nodeSelector:", *lines]) if lines else ""


def _resources(cluster: Cluster) -> str:
    """What a machine gives; requests are the limits where only these are said."""
    chips = "google.com/tpu" if accelerators.is_tpu(cluster) else "nvidia.com/gpu"
    cores = cluster.cpus_per_task * cluster.tasks_per_node
    limits = {
        "cpu": cores,
        "memory": scalar(amounts.quantity(cluster.memory)) if cluster.memory else "",
        chips: cluster.accelerators,
    }
    pad = "\n" + " " * 18
    lines = [f"{pad}    {key}: {value}" for key, value in limits.items() if value]
    return "".join([f"{pad}resources:", f"{pad}  limits:", *lines]) if lines else ""
