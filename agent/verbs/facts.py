"""Asks each device what it is: attributes, ports and the whole GID table in one call."""

from __future__ import annotations

import os
from typing import Any

from agent.verbs.binding import Binding, VerbsUnavailable
from agent.verbs.errors import open_error
from agent.verbs.protocol import VerbsFacts, VerbsGid, VerbsPort

GID_TABLE_MAX = 1600
"""Entries asked for: of 40 bytes each, and an attribute of the ioctl has 16 bits for its length. 4,096 is refused."""
STATES = {1: "DOWN", 2: "INIT", 3: "ARMED", 4: "ACTIVE", 5: "ACTIVE_DEFER"}
"""enum ibv_port_state."""
LINK_LAYERS = {1: "InfiniBand", 2: "Ethernet"}
GID_TYPES = {0: "IB", 1: "RoCEv1", 2: "RoCEv2"}
"""enum ibv_gid_type; ibv_query_gid_table tells IB and RoCE v1 apart, sysfs does not."""


def devices(verbs: Binding) -> tuple[VerbsFacts, ...]:
    """Every device, those that cannot be opened with the reason. Raises VerbsUnavailable without kernel support."""
    try:
        names = sorted(device.name.decode() for device in verbs.device.get_device_list())
    except verbs.error as failed:
        raise _no_kernel(failed) from failed
    return tuple(device_facts(verbs, name) for name in names)


def _no_kernel(failed: Exception) -> VerbsUnavailable:
    if not os.path.isdir("/sys/class/infiniband_verbs"):
        return VerbsUnavailable(
            "this kernel has no RDMA user access: ib_uverbs is not loaded",
            "`modprobe ib_uverbs` and the card's driver (mlx5_ib); the Network Operator's driver pod does both",
        )
    return VerbsUnavailable(f"the RDMA devices cannot be listed: {failed}", "is /sys mounted, and is it the host's?")


def device_facts(verbs: Binding, name: str) -> VerbsFacts:
    """One device, opened for the moment."""
    try:
        context = verbs.device.Context(name=name)
    except verbs.error as failed:
        wrong = open_error(name, getattr(failed, "error_code", None))
        return VerbsFacts(name=name, opened=False, error=wrong.message, hint=wrong.hint)
    try:
        return _facts_of(verbs, context, name)
    except verbs.error as failed:
        return VerbsFacts(name=name, opened=False, error=f"{name}: {failed}", hint="look at the kernel log")
    finally:
        context.close()


def _facts_of(verbs: Binding, context: Any, name: str) -> VerbsFacts:
    attributes = context.query_device()
    ports = tuple(port_facts(context, number) for number in range(1, attributes.phys_port_cnt + 1))
    sizes = [port.max_msg_bytes for port in ports if port.max_msg_bytes is not None]
    return VerbsFacts(
        name=name,
        opened=True,
        node_guid=guid_text(attributes.node_guid),
        sys_image_guid=guid_text(attributes.sys_image_guid),
        firmware=attributes.fw_version or None,
        vendor_id=attributes.vendor_id,
        vendor_part_id=attributes.vendor_part_id,
        max_qp=attributes.max_qp,
        max_qp_wr=attributes.max_qp_wr,
        max_cqe=attributes.max_cqe,
        max_rd_atomic=min(attributes.max_qp_rd_atom, attributes.max_qp_init_rd_atom),
        max_msg_bytes=min(sizes, default=None),
        ports=ports,
        gids=gid_table(verbs, context),
    )


def port_facts(context: Any, number: int) -> VerbsPort:
    """One port. Raises PyverbsError."""
    port = context.query_port(number)
    return VerbsPort(
        port=number,
        state=STATES.get(port.state),
        phys_state=port.phys_state,
        link_layer=LINK_LAYERS.get(port.link_layer),
        lid=port.lid,
        sm_lid=port.sm_lid,
        active_mtu_bytes=mtu_bytes(port.active_mtu),
        max_mtu_bytes=mtu_bytes(port.max_mtu),
        max_msg_bytes=port.max_msg_sz,
    )


def gid_table(verbs: Binding, context: Any) -> tuple[VerbsGid, ...]:
    """The filled entries of all ports: in one call, or one by one where the kernel does not know that call (< 5.10)."""
    try:
        rows = context.query_gid_table(GID_TABLE_MAX)
    except verbs.error:
        rows = _each_gid(verbs, context)
    return tuple(
        VerbsGid(
            port=row.port_num,
            index=row.gid_index,
            gid=row.gid_str().lower(),
            type=GID_TYPES.get(row.gid_type),
            ifindex=row.ndev_ifindex or None,
        )
        for row in rows
    )


def _each_gid(verbs: Binding, context: Any) -> list[Any]:
    rows = []
    for number in range(1, context.query_device().phys_port_cnt + 1):
        for index in range(context.query_port(number).gid_tbl_len):
            try:
                rows.append(context.query_gid_ex(number, index))
            except verbs.error:
                continue  # an empty entry
    return rows


def mtu_bytes(code: int) -> int | None:
    """enum ibv_mtu: 1 is 256 bytes, each next one twice that."""
    return 128 << code if 1 <= code <= 5 else None


def mtu_code(size: int) -> int:
    """The greatest MTU code that is not above a size in bytes."""
    return max((code for code in range(1, 6) if 128 << code <= size), default=1)


def guid_text(big_endian: int) -> str:
    """A __be64 as it lies in memory -> `b83f:d203:0092:dd30`."""
    return big_endian.to_bytes(8, "little").hex(":", 2)
