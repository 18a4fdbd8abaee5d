"""Run a script in a fork of the job server instead of a new Python: `python job_client.py SOCKET PYTHON SCRIPT`.

Environment, folder, standard streams, SIGTERM and exit status are those of the command. Without a server, or with more
than one thread, a number that numerical libraries read on import, the client becomes the command.
"""

import os
import signal
import socket
import sys

SEPARATOR = b"\0"


def request(command: list[str]) -> bytes:
    """Return the request to the server: the script with its arguments, the folder, and the environment."""
    variables = [name + b"=" + value for name, value in os.environb.items()]
    return SEPARATOR.join([*map(os.fsencode, command[1:]), b"", os.fsencode(os.getcwd()), *variables])


def run(address: str, command: list[str]) -> int:
    """Return the exit status of the script, run by the server; OSError if none takes this job."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [request(command)], [0, 1, 2])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job has it from the terminal, too
        signal.signal(signal.SIGTERM, lambda number, frame: server.send(b"stop"))
        if not (status := server.recv(16)):
            print("the job server died", file=sys.stderr)
            return 1
        return int(status)


if __name__ == "__main__":
    address, *command = sys.argv[1:]
    try:
        if os.environ.get("OMP_NUM_THREADS") == "1":
            sys.exit(run(address, command))
    except OSError:
        pass
    os.execv(command[0], command)
