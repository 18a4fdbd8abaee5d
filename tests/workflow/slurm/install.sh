#!/usr/bin/env bash
# The Slurm that tests/workflow/slurm starts, and the programs of these names, from the packages of Debian or Ubuntu.
set -euo pipefail

needed=(slurmctld slurmd munged sbatch srun "$@")
export PATH="$PATH:/usr/sbin:/sbin"
type "${needed[@]}" >/dev/null 2>&1 && exit
[ "$(id -u)" -eq 0 ] || { echo "needs root to install slurmctld, slurmd, slurm-client, munge $*" >&2; exit 1; }
apt-get update -q
# Without waiting for the disk after each file, and without manuals.
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
	-o Dpkg::Options::=--force-unsafe-io -o "Dpkg::Options::=--path-exclude=/usr/share/man/*" \
	slurmctld slurmd slurm-client munge "$@"
type "${needed[@]}" >/dev/null
