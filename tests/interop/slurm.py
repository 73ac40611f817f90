"""A Slurm cluster of one node on the loopback interface, for as long as a block runs."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def is_there():
    return all(shutil.which(name, path=search_path()) for name in ("slurmctld", "slurmd", "sbatch"))


def search_path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def cluster(folder):
    """Starts the two daemons; yields the environment in which sbatch finds them."""
    folder = pathlib.Path(folder)
    for name in ("", "state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(
        host=host, user=os.environ.get("USER", "root"), folder=folder, cores=os.cpu_count(),
        controller_port=free_port(), node_port=free_port()))
    environment = dict(os.environ, SLURM_CONF=str(configuration), PATH=search_path())
    daemons = [subprocess.Popen([name, "-D", "-f", configuration, *more], env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for name, more in (("slurmctld", []), ("slurmd", ["-N", host]))]
    try:
        wait_until_idle(environment)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def wait_until_idle(environment, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = subprocess.run(["sinfo", "--noheader", "--format=%t"], env=environment,
                              capture_output=True, text=True)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    raise AssertionError(f"Slurm's node is not ready: {done.stdout}{done.stderr}")
