#!/bin/bash
# Written by `segjax sweep --engine render --format skypilot`; running it again replaces this.
# /work is a folder that all machines share. Results: /work/runs/fovea
# Experiment: experiments/fovea/demo.py; data: /work/data
# Relative paths are below the folder in which `sky` is called.

failed=()
for point in \
    dd95b3491c \
    b8fbd54a55
do
    sky jobs launch -n fovea-"$point" -y -d --env POINT="$point" \
        "$(dirname "$0")"/skypilot.yaml </dev/null || failed+=("$point")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "not launched: ${failed[*]}" >&2
    exit 1
fi
