"""Where jobs run: this machine, Slurm, Grid Engine."""
