#!/bin/bash
#SBATCH --job-name=fovea-fovea
#SBATCH --array=0-1
#SBATCH --chdir=/home/me
#SBATCH --output=/home/me/runs/fovea/render/%a.txt
#SBATCH --open-mode=append
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --mem=1024G
#SBATCH --gres=gpu:nvidia-h100-80gb:8
#SBATCH --time=1-00:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue


set +eu

# Line SLURM_ARRAY_TASK_ID + 1 of /home/me/runs/fovea/render/points.txt has the id of a point and its command.
tasks=/home/me/runs/fovea/render/points.txt points=/home/me/runs/fovea/points
IFS=$'\t' read -r id command < <(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$tasks")
printed=$points/$id.txt
mkdir -p "$points" && touch "$printed" && rm -f "$points/$id.failed"
before=$(stat -c %s "$printed")

# scancel ends this shell, too: it lives on to see how the point ends.
cancelled=
trap 'cancelled=yes' TERM
srun --kill-on-bad-exit=1 --open-mode=append --output="${printed//%/%%}" \
    bash -c "exec $command" &
step=$!
wait $step; status=$?
if [ -n "$cancelled" ]; then wait $step; status=$?; fi
if [ $status -eq 0 ]; then exit 0; fi

new() { tail -c "+$((before + 1))" "$printed"; }
# The processes get SIGTERM before a preemption and before the time limit. A point that saved, or of
# which all processes were interrupted, has not failed. One that fails ends the others by SIGTERM.
stopped() {
    new | grep -q '^segjax: stopped by a signal' && return
    local interrupted others
    interrupted=$(new | grep -c '^segjax: interrupted')
    others=$(new | grep '^segjax: \|^Traceback' | grep -vc '^segjax: interrupted')
    [ "$interrupted" -eq 32 ] && return
    [ "$others" -eq 0 ] && { [ "$interrupted" -gt 0 ] || [ $status -eq 143 ]; }
}
# What the others say of it is no cause.
consequences='^segjax: (ended by SIGTERM|interrupted|(process [0-9, ]+|another process) of the job)'

if stopped; then
    # Its task is queued again, unless the job was cancelled.
    if [ -z "$cancelled" ]; then scontrol requeue "$SLURM_JOB_ID" && sleep 60; fi
elif [ -z "$cancelled" ]; then
    cause=$(new | grep -vE "$consequences" | tail -n 1)
    if [ $status -gt 128 ] && [[ $cause != "segjax: "* ]]; then
        cause="ended by signal $((status - 128)) (out of memory?); it printed $printed"
    fi
    echo "${cause:-$(tail -n 1 "$printed")}" >"$points/$id.failed"
fi
exit $status
