#!/bin/bash
# Written by `segjax sweep --engine render --format tpu_vm`; running it again replaces this.
# /work is a folder that all machines share. Results: /work/runs/fovea
# Experiment: experiments/fovea/demo.py; data: /work/data
# Relative paths are below that folder.

failed=()
run() {  # ID, with the command on standard input, for all machines of the pod
    local command
    command=$(cat)
    echo "point $1"
    gcloud compute tpus tpu-vm ssh fovea \
        --project=my-project \
        --zone=us-west4-a \
        --worker=all \
        --command="$command" </dev/null || failed+=("$1")
}

run dd95b3491c <<'COMMAND'
cd /work || exit
exec python3 -P -m segjax.cli train \
    --config experiments/fovea/demo.py:loss=msce \
    --workdir /work/runs/fovea/points/dd95b3491c \
    --config.seed=0 \
    --config.data.data_dir=/work/data \
    --watchdog=1800 \
    --start_timeout=600 \
    --distributed
COMMAND

run b8fbd54a55 <<'COMMAND'
cd /work || exit
exec python3 -P -m segjax.cli train \
    --config experiments/fovea/demo.py:loss=mse \
    --workdir /work/runs/fovea/points/b8fbd54a55 \
    --config.seed=0 \
    --config.data.data_dir=/work/data \
    --watchdog=1800 \
    --start_timeout=600 \
    --distributed
COMMAND

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
