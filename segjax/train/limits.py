"""Time limits of jobs, in seconds. Imports nothing: the command line has them before JAX."""

WATCHDOG = 1800  # a training in which no step, evaluation or save ends for so long hangs
START = 600  # the processes of a job have so long to find each other
HEARTBEAT = 20  # a process silent for so long is dead, and JAX ends the others
LONGEST_WAIT = 24 * 3600  # for another process; ends sooner when a process of the job dies
FAREWELL = 5  # a failed process gives the others so long to fail by themselves
