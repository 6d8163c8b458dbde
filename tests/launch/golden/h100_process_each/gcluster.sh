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
        --location=us-central1-a \
        --gke-namespace=default \
        --queue=gpus \
        --image=us-central1-docker.pkg.dev/my-project/research/segjax:1 \
        --compute-type=a3-highgpu-8g \
        --num-nodes=4 \
        --mount=shared:/work:rw \
        --restarts=10 \
        --restart-on-exit-codes=1,134,137,139,143 \
        --grace-period=120s \
        --name="$1" \
        --command="$command" </dev/null || failed+=("$1")
}

submit fovea-dd95b3491c <<'COMMAND'
pids=() stopped=
trap 'stopped=yes; kill -TERM "${pids[@]}"' TERM
for i in {0..7}; do
    JAX_LOCAL_DEVICE_IDS=$i \
    python -P -m segjax.cli train \
        --config experiments/fovea/demo.py:loss=msce \
        --workdir /work/runs/fovea/points/dd95b3491c \
        --config.seed=0 \
        --config.data.data_dir=/work/data \
        --watchdog=1800 \
        --start_timeout=600 \
        --coordinator=fovea-dd95b3491c-main-job-0-0.fovea-dd95b3491c:8476 --processes=32 \
        --process=$$(($JOB_COMPLETION_INDEX * 8 + i)) &
    pids+=($!)
done
status=0
for pid in "${pids[@]}"; do
    wait "$pid"; code=$?
    # A signal ends the first wait before the process has ended
    if [ -n "$stopped" ]; then wait "$pid"; code=$?; fi
    if [ $code -ne 0 ] && [ $status -ne 2 ]; then status=$code; fi
done
exit $status
COMMAND

submit fovea-b8fbd54a55 <<'COMMAND'
pids=() stopped=
trap 'stopped=yes; kill -TERM "${pids[@]}"' TERM
for i in {0..7}; do
    JAX_LOCAL_DEVICE_IDS=$i \
    python -P -m segjax.cli train \
        --config experiments/fovea/demo.py:loss=mse \
        --workdir /work/runs/fovea/points/b8fbd54a55 \
        --config.seed=0 \
        --config.data.data_dir=/work/data \
        --watchdog=1800 \
        --start_timeout=600 \
        --coordinator=fovea-b8fbd54a55-main-job-0-0.fovea-b8fbd54a55:8476 --processes=32 \
        --process=$$(($JOB_COMPLETION_INDEX * 8 + i)) &
    pids+=($!)
done
status=0
for pid in "${pids[@]}"; do
    wait "$pid"; code=$?
    # A signal ends the first wait before the process has ended
    if [ -n "$stopped" ]; then wait "$pid"; code=$?; fi
    if [ $code -ne 0 ] && [ $status -ne 2 ]; then status=$code; fi
done
exit $status
COMMAND

if [ ${#failed[@]} -gt 0 ]; then
    echo "not submitted: ${failed[*]}" >&2
    exit 1
fi
