"""A real Slurm on loopback: two nodes of two cores and two GPUs each, all of them on this machine."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

COMMANDS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo"]
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/sbin"
NODES = ["n1", "n2"]
MARK = "UNSMOOTH_TEST_CLUSTER"  # in the environment of every process of a cluster, with its folder
READY_S = 60

# Without accounting, cgroups and task affinity, which containers lack. Snakemake asks squeue: finished jobs stay there.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/note_gpus
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
ReturnToService=0
MinJobAge=3600
KillWait=2
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=training Nodes=ALL MaxTime=INFINITE State=UP
"""
NODE = """
NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
"""
NOTE_GPUS = """#!/bin/sh
echo "$SLURM_JOB_ID $CUDA_VISIBLE_DEVICES" >> {folder}/gpus
"""
# Snakemake takes SLURM_CONF away from the srun inside a job. By this one in front of it no file in /etc is needed.
SRUN = """#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


def missing() -> list[str]:
    """Return what this machine lacks to run a cluster."""
    lacking = [command for command in COMMANDS if shutil.which(command, path=SEARCHED) is None]
    return lacking + ([] if os.getuid() == 0 else ["root"])


@dataclass
class Job:
    """One job of Slurm: what it was given, and what became of it from when to when."""

    number: str
    state: str
    node: str
    partition: str
    memory: str
    start: str
    end: str
    comment: str


@dataclass
class Cluster:
    """Daemons of a Slurm, and their files in a folder."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What commands and jobs of this cluster have in their environment."""
        return os.environ | {
            "SLURM_CONF": f"{self.folder}/slurm.conf",
            "PATH": f"{self.folder}/bin:{SEARCHED}",
            MARK: str(self.folder),
        }

    def start(self) -> None:
        """Configure and start everything, and wait until the nodes are there."""
        host, ports = socket.gethostname().split(".")[0], free_ports(1 + len(NODES))
        for name in ("state", "bin", *NODES):
            (self.folder / name).mkdir()
        nodes = "".join(
            NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:], strict=True)
        )
        configuration = CONFIGURATION.format(folder=self.folder, host=host, port=ports[0], nodes=nodes)
        (self.folder / "slurm.conf").write_text(configuration)
        for number in range(2):
            # Slurm wants a device of that name, and counts it by the digit at its end.
            (self.folder / f"gpu{number}").symlink_to("/dev/null")
        (self.folder / "gres.conf").write_text(f"NodeName={','.join(NODES)} Name=gpu File={self.folder}/gpu[0-1]\n")
        self._executable("note_gpus", NOTE_GPUS.format(folder=self.folder))
        self._executable("bin/srun", SRUN.format(folder=self.folder, srun=shutil.which("srun", path=SEARCHED)))
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        wait_for(lambda: (self.folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D")
        for name in NODES:
            self._daemon("slurmd", "-D", "-N", name, node=name)
        wait_for(lambda: self.run("sinfo", "-hNo", "%T", "-p", "main").split() == ["idle"] * len(NODES))

    def stop(self) -> None:
        """End every process of the cluster, by its number."""
        self._kill()
        for daemon in self.daemons:
            daemon.wait()

    def run(self, *command: str) -> str:
        """Run a command of Slurm and return what it says; nothing where it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    def jobs(self) -> list[Job]:
        """Return every job there has been."""
        lines = self.run("squeue", "-h", "-t", "all", "-o", "%A|%T|%N|%P|%m|%S|%e|%k").splitlines()
        return [Job(*line.split("|")) for line in lines]

    def gpus(self) -> dict[str, set[str]]:
        """Return the GPUs that the jobs with any saw, by number of the job."""
        lines = map(str.split, (self.folder / "gpus").read_text().splitlines())
        return {number: set(gpus[0].split(",")) for number, *gpus in lines if gpus}

    def lose(self, node: str) -> None:
        """Let a node die with all that runs on it."""
        self._kill(SLURMD_NODENAME=node)
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def _executable(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    def _daemon(self, command: str, *arguments: str, node: str = "") -> None:
        program, environment = shutil.which(command, path=SEARCHED), self.environment | {"SLURMD_NODENAME": node}
        with (self.folder / f"{node or command}.out").open("wb") as log:
            daemon = subprocess.Popen([program, *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT)
        self.daemons.append(daemon)

    def _kill(self, **variables: str) -> None:
        """Kill the processes of this cluster that have these variables in their environment."""
        wanted = {MARK: str(self.folder)} | variables
        for process in psutil.process_iter(["environ"]):
            if wanted.items() <= (process.info["environ"] or {}).items():
                with suppress(psutil.NoSuchProcess):
                    # A slurmstepd writes its title over its environment, and is known by what it has started.
                    if (parent := process.parent()) and parent.name() == "slurmstepd":
                        parent.kill()
                    process.kill()


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody uses."""
    with ExitStack() as open_sockets:
        found = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def wait_for(condition: Callable[[], bool], seconds: float = READY_S) -> None:
    """Wait until a condition of the start is true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Slurm did not start within {seconds} s")
        time.sleep(0.1)
