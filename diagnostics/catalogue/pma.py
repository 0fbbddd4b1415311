"""Files of `ports/N/counters`, and the names that perfquery gives the same registers.

Widths are those of the PortCounters attribute (InfiniBand specification 1, 16.1.3.5); drivers/infiniband/core/sysfs.c
shows them unwidened. They stick at all ones until someone clears them: they never wrap.
"""

from diagnostics.catalogue.group import Group

_WORDS = Group(
    source="counters",
    bits=64,
    limit="clamp",
    scale=4,
    origin="IBTA PortCountersExtended; kernel core/sysfs.c: 4-octet words, 32 bits where the extended set is missing",
    rows=(
        ("port_xmit_data", "bytes", "traffic", "Data sent, headers included; RDMA only on RoCE, not the netdev's TCP."),
        ("port_rcv_data", "bytes", "traffic", "Data received, headers included; RDMA only on RoCE."),
    ),
)

_PACKETS = Group(
    source="counters",
    bits=64,
    limit="clamp",
    origin="IBTA PortCountersExtended; 32 bits where the extended set is missing",
    rows=(
        ("port_xmit_packets", "packets", "traffic", "Packets sent, unicast and multicast."),
        ("port_rcv_packets", "packets", "traffic", "Packets received, unicast and multicast."),
        ("unicast_xmit_packets", "packets", "traffic", "Unicast packets sent."),
        ("unicast_rcv_packets", "packets", "traffic", "Unicast packets received."),
        ("multicast_xmit_packets", "packets", "traffic", "Multicast packets sent."),
        ("multicast_rcv_packets", "packets", "traffic", "Multicast packets received."),
    ),
)

_32_BITS = Group(
    source="counters",
    bits=32,
    limit="clamp",
    origin="IBTA PortCounters; kernel core/sysfs.c",
    rows=(
        (
            "port_xmit_wait",
            "ticks",
            "congestion",
            "Ticks of the device clock with data to send and no credit or arbitration for it; stays 0 on RoCE.",
        ),
    ),
)

_16_BITS = Group(
    source="counters",
    bits=16,
    limit="clamp",
    origin="IBTA PortCounters; kernel core/sysfs.c",
    rows=(
        ("symbol_error", "errors", "error", "Symbol errors left after the PHY has corrected: cable, module or port."),
        ("port_rcv_errors", "packets", "error", "Packets that arrived with an error: CRC, length, buffer overrun."),
        (
            "port_rcv_remote_physical_errors",
            "packets",
            "error",
            "Packets that a switch had already marked bad: the fault is on a link further away.",
        ),
        (
            "port_rcv_switch_relay_errors",
            "packets",
            "info",
            "Packets a switch did not forward; some multicast ends so on a sound fabric, and an HCA has none.",
        ),
        ("port_xmit_discards", "packets", "error", "Packets thrown away instead of sent: port down or congested."),
        ("VL15_dropped", "packets", "error", "Management packets dropped for want of a buffer."),
        ("qp1_dropped", "packets", "error", "General-service management packets (QP1) dropped for want of a buffer."),
    ),
)

_8_BITS = Group(
    source="counters",
    bits=8,
    limit="clamp",
    origin="IBTA PortCounters; kernel core/sysfs.c",
    rows=(
        ("link_error_recovery", "events", "error", "The link retrained and stayed up."),
        ("link_downed", "events", "error", "Retraining failed and the link went down."),
        ("port_xmit_constraint_errors", "packets", "error", "Not sent: P_Key or raw-packet filter, a configuration."),
        ("port_rcv_constraint_errors", "packets", "error", "Refused on arrival: P_Key or raw-packet filter."),
    ),
)

_4_BITS = Group(
    source="counters",
    bits=4,
    limit="clamp",
    origin="IBTA PortCounters; kernel core/sysfs.c",
    rows=(
        ("local_link_integrity_errors", "events", "error", "Local PHY errors passed the limit of LocalPhyErrors."),
        ("excessive_buffer_overrun_errors", "events", "error", "Receive buffers overran several periods in a row."),
    ),
)

_RECEIVE_DETAIL = Group(
    source="counters",
    bits=16,
    limit="clamp",
    origin="IBTA PortRcvErrorDetails, by perfquery; no sysfs file",
    rows=(
        ("port_local_physical_errors", "packets", "error", "Of the receive errors: bad CRC or symbol on this link."),
        ("port_malformed_packet_errors", "packets", "error", "Of the receive errors: a header that breaks the rules."),
        ("port_buffer_overrun_errors", "packets", "error", "Of the receive errors: no room in the input buffer."),
        ("port_dlid_mapping_errors", "packets", "error", "Of the relay errors: no route for the destination LID."),
        ("port_vl_mapping_errors", "packets", "error", "Of the relay errors: no virtual lane for the service level."),
        ("port_looping_errors", "packets", "error", "Of the relay errors: would leave by the port it came in."),
    ),
)

GROUPS = (_WORDS, _PACKETS, _32_BITS, _16_BITS, _8_BITS, _4_BITS, _RECEIVE_DETAIL)

ALIASES = {
    "PortXmitData": "port_xmit_data",
    "PortRcvData": "port_rcv_data",
    "PortXmitPkts": "port_xmit_packets",
    "PortRcvPkts": "port_rcv_packets",
    "PortUnicastXmitPkts": "unicast_xmit_packets",
    "PortUnicastRcvPkts": "unicast_rcv_packets",
    "PortMulticastXmitPkts": "multicast_xmit_packets",
    "PortMulticastRcvPkts": "multicast_rcv_packets",
    "SymbolErrorCounter": "symbol_error",
    "LinkErrorRecoveryCounter": "link_error_recovery",
    "LinkDownedCounter": "link_downed",
    "PortRcvErrors": "port_rcv_errors",
    "PortRcvRemotePhysicalErrors": "port_rcv_remote_physical_errors",
    "PortRcvSwitchRelayErrors": "port_rcv_switch_relay_errors",
    "PortXmitDiscards": "port_xmit_discards",
    "PortXmitConstraintErrors": "port_xmit_constraint_errors",
    "PortRcvConstraintErrors": "port_rcv_constraint_errors",
    "LocalLinkIntegrityErrors": "local_link_integrity_errors",
    "ExcessiveBufferOverrunErrors": "excessive_buffer_overrun_errors",
    "VL15Dropped": "VL15_dropped",
    "PortXmitWait": "port_xmit_wait",
    "QP1Dropped": "qp1_dropped",
    "PortLocalPhysicalErrors": "port_local_physical_errors",
    "PortMalformedPktErrors": "port_malformed_packet_errors",
    "PortBufferOverrunErrors": "port_buffer_overrun_errors",
    "PortDLIDMappingErrors": "port_dlid_mapping_errors",
    "PortVLMappingErrors": "port_vl_mapping_errors",
    "PortLoopingErrors": "port_looping_errors",
}
"""perfquery's name of a register -> ours."""
