"""Fields and types of the published schemas, of those parts that rendered files use.

JobSet, Job and Pod: kubernetes-sigs/jobset,
config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml, commit 01078527. SkyPilot's task:
skypilot-org/skypilot, sky/utils/schemas.py, commit 00052dfe.
"""

import re

LABELS = {"*": str}
POD = {
    "restartPolicy": {"Never", "OnFailure", "Always"},
    "terminationGracePeriodSeconds": int,
    "nodeSelector": LABELS,
    "containers": [
        {
            "name": str,
            "image": str,
            "command": [str],
            "args": [str],
            "resources": {"limits": {"*": re.compile(r"\d+([KMGT]i)?")}},
            "volumeMounts": [{"name": str, "mountPath": str}],
        }
    ],
    "volumes": [
        {
            "name": str,
            "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
            "emptyDir": {"medium": {"", "Memory"}, "sizeLimit": str},
        }
    ],
}
JOB = {
    "completionMode": {"Indexed", "NonIndexed"},
    "completions": int,
    "parallelism": int,
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "podFailurePolicy": {
        "rules": [
            {
                "action": {"FailJob", "FailIndex", "Ignore", "Count"},
                "onExitCodes": {
                    "containerName": str,
                    "operator": {"In", "NotIn"},
                    "values": [int],
                },
            }
        ]
    },
    "template": {"metadata": {"labels": LABELS, "annotations": LABELS}, "spec": POD},
}
JOBSET = {
    "apiVersion": {"jobset.x-k8s.io/v1alpha2"},
    "kind": {"JobSet"},
    "metadata": {
        "name": re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?"),
        "namespace": re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"),
        "labels": LABELS,
        "annotations": LABELS,
    },
    "spec": {
        "ttlSecondsAfterFinished": int,
        "network": {"enableDNSHostnames": bool, "publishNotReadyAddresses": bool},
        "failurePolicy": {
            "maxRestarts": int,
            "restartStrategy": {"Recreate", "BlockingRecreate"},
            "rules": [
                {
                    "name": re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"),
                    "action": {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"},
                    "onJobFailureReasons": [{"PodFailurePolicy", "BackoffLimitExceeded"}],
                }
            ],
        },
        "replicatedJobs": [
            {"name": str, "replicas": int, "template": {"metadata": {}, "spec": JOB}}
        ],
    },
}
# In `infra` a cloud, region and zone, or Kubernetes and its context
SKYPILOT = {
    "name": str,
    "workdir": str,
    "num_nodes": int,
    "resources": {
        "infra": re.compile(r"(gcp|aws|azure)(/[^/]+(/[^/]+)?)?|(k8s|kubernetes)(/.+)?"),
        "accelerators": str,
        "image_id": str,
        "cpus": str,
        "memory": str,
    },
    "volumes": {"*": str},
    "file_mounts": {"*": {"source": str, "mode": {"MOUNT", "COPY", "MOUNT_CACHED"}}},
    "envs": {"*": (str, type(None))},
    "run": str,
}


def faults(value, schema, place=""):
    """Where a value is not what a schema says."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{place}: no mapping"]
        unknown = [f"{place}.{k}: unknown" for k in value if k not in schema and "*" not in schema]
        known = [(k, v, schema.get(k, schema.get("*"))) for k, v in value.items()]
        inner = (faults(v, s, f"{place}.{k}") for k, v, s in known if s is not None)
        return unknown + [fault for each in inner for fault in each]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{place}: no list"]
        inner = (faults(each, schema[0], f"{place}[{i}]") for i, each in enumerate(value))
        return [fault for each in inner for fault in each]
    if isinstance(schema, set):
        right = value in schema
    elif isinstance(schema, re.Pattern):
        right = schema.fullmatch(str(value)) is not None
    else:
        right = isinstance(value, schema) and not (schema is int and isinstance(value, bool))
    return [] if right else [f"{place}: {value!r}"]
