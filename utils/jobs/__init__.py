"""Job drivers: run jobs on this machine, through Slurm or through Grid Engine."""
