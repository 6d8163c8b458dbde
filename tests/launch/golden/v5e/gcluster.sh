#!/bin/bash
# Written by `segjax sweep --engine render --format gcluster`; running it again replaces this.
# /work is a folder that all machines share. Results: /work/runs/fovea
# Experiment: experiments/fovea/demo.py; data: /work/data
# Relative paths are below the image's working folder.
#
# The GKE cluster: GKE_CLUSTER=NAME bash gcluster.sh
: "${GKE_CLUSTER:?is the name of the GKE cluster}"

failed=()
submit() {  # NAME, with the command on standard input
    local command
    command=$(cat)
    gcluster job submit \
        --cluster="$GKE_CLUSTER" \
        --project=my-project \
        --location=us-west4-a \
        --gke-namespace=default \
        --queue=tpus \
        --image=us-west4-docker.pkg.dev/my-project/research/segjax:1 \
        --compute-type=ct5lp-hightpu-4t \
        --topology=16x16 \
        --mount=shared:/work:rw \
        --restarts=10 \
        --restart-on-exit-codes=1,134,137,139,143 \
        --grace-period=120s \
        --name="$1" \
        --command="$command" </dev/null || failed+=("$1")
}

submit fovea-dd95b3491c <<'COMMAND'
exec python -P -m segjax.cli train \
    --config experiments/fovea/demo.py:loss=msce \
    --workdir /work/runs/fovea/points/dd95b3491c \
    --config.seed=0 \
    --config.data.data_dir=/work/data \
    --watchdog=1800 \
    --start_timeout=600 \
    --distributed
COMMAND

submit fovea-b8fbd54a55 <<'COMMAND'
exec python -P -m segjax.cli train \
    --config experiments/fovea/demo.py:loss=mse \
    --workdir /work/runs/fovea/points/b8fbd54a55 \
    --config.seed=0 \
    --config.data.data_dir=/work/data \
    --watchdog=1800 \
    --start_timeout=600 \
    --distributed
COMMAND

if [ ${#failed[@]} -gt 0 ]; then
    echo "not submitted: ${failed[*]}" >&2
    exit 1
fi
