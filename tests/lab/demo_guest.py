"""The guest's half of `make run`: two devices, endless RDMA writes between them, and the agent that shows them."""

import subprocess
import sys
import time
from pathlib import Path

from tests.lab import devices
from tests.lab.demo import AGENT_PORT, GUEST_ADDRESS, RDMATOP

TRAFFIC_S = 3600
"""As long as one run of ib_write_bw lasts; the next follows."""


def main(folder: str) -> int:
    """`folder` holds tokens, tls.crt and tls.key. Ends when the agent does."""
    devices.up()
    command = [RDMATOP, "agent", "--listen", f"{GUEST_ADDRESS}:{AGENT_PORT}", "--tokens-file", f"{folder}/tokens"]
    command += [
        "--tls-cert",
        f"{folder}/tls.crt",
        "--tls-key",
        f"{folder}/tls.key",
        "--state-dir",
        "/run/rdmatop-state",
    ]
    Path("/run/rdmatop").mkdir(mode=0o700, exist_ok=True)
    agent = subprocess.Popen(command)
    while agent.poll() is None:
        try:
            # beside the agent, not before it: a busy client takes a whole processor
            with devices.traffic(TRAFFIC_S, cpu=1) as clients:
                while agent.poll() is None and all(client.poll() is None for client in clients):
                    time.sleep(1)
        except TimeoutError as error:
            print(f"demo: no traffic: {error}", file=sys.stderr)
    return agent.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
