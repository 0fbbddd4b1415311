"""Makes sysfs trees as a kernel would show them, one device at a time, to be changed while they are read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

PORT = {"state": "4: ACTIVE", "phys_state": "5: LinkUp", "rate": "400 Gb/sec (4X NDR)", "link_layer": "Ethernet"}
COUNTERS = {"port_xmit_data": 1000, "port_rcv_data": 2000, "symbol_error": 0, "link_downed": 1, "port_xmit_wait": 7}
HW_COUNTERS = {"out_of_sequence": 3, "np_cnp_sent": 5, "rp_cnp_handled": 6, "lifespan": 10}


class MadeTree:
    """A node's tree at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "sys/class/infiniband").mkdir(parents=True)

    def write(self, name: str, content: object) -> Path:
        """Content as the kernel writes it, with a newline; bytes as they are."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
        return file

    def link(self, name: str, target: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)
        return file

    def port_folder(self, device: str, port: int = 1) -> str:
        return f"sys/class/infiniband/{device}/ports/{port}"

    def port(
        self,
        device: str,
        port: int = 1,
        counters: Mapping[str, object] = COUNTERS,
        hw_counters: Mapping[str, object] = HW_COUNTERS,
        **facts: str,
    ) -> str:
        """A port with its files; its folder's name."""
        folder = self.port_folder(device, port)
        for name, content in {**PORT, "lid": "0x0", "sm_lid": "0x0", **facts}.items():
            self.write(f"{folder}/{name}", content)
        for name, value in counters.items():
            self.write(f"{folder}/counters/{name}", value)
        for name, value in hw_counters.items():
            self.write(f"{folder}/hw_counters/{name}", value)
        return folder

    def device(self, device: str, **facts: str) -> str:
        """A device with one port; its folder's name."""
        folder = f"sys/class/infiniband/{device}"
        defaults = {"node_guid": "b83f:d203:0092:dd30", "hca_type": "MT4129", "fw_ver": "28.41.1000"}
        for name, content in {**defaults, **facts}.items():
            self.write(f"{folder}/{name}", content)
        self.port(device)
        return folder

    def pci(self, under: str, path: str, **facts: str) -> str:
        """A PCI function at sys/devices/`path`, `under` an RDMA device unless that is empty; its folder's name."""
        folder = f"sys/devices/{path}"
        for name, content in {"vendor": "0x15b3", "device": "0x1021", "class": "0x020000", **facts}.items():
            self.write(f"{folder}/{name}", content)
        address = path.rpartition("/")[2]
        self.link(f"sys/bus/pci/devices/{address}", f"../../../devices/{path}")
        if under:
            self.link(f"sys/class/infiniband/{under}/device", f"../../../devices/{path}")
        return folder

    def count(self, device: str, port: int = 1, folder: str = "counters", **values: int) -> None:
        """Set counters of a port."""
        for name, value in values.items():
            self.write(f"{self.port_folder(device, port)}/{folder}/{name}", value)

    def hang(self, name: str) -> Path:
        """Put a FIFO in a file's place: whoever opens it waits. Open it for writing to let go."""
        file = self.path / name
        file.unlink(missing_ok=True)
        os.mkfifo(file)
        return file

    def remove(self, name: str) -> None:
        target = self.path / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
