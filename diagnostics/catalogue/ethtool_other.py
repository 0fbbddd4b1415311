"""`ethtool -S` names of other drivers: AMD ionic, and what plain netdevs share.

As with mlx5, what happens on the netdev's own queues is `info`: it concerns TCP/IP. A port's errors and drops count.
"""

from diagnostics.catalogue.group import Group, Row

_ORIGIN = "kernel pensando/ionic/ionic_stats.c"
_LENGTHS = "Packets of that length"

_IONIC_PORT: tuple[Row, ...] = (
    ("frames_rx_ok", "packets", "traffic", "Packets received without error."),
    ("frames_rx_all", "packets", "traffic", "Packets received, bad ones included."),
    ("frames_rx_bad_fcs", "packets", "error", "Packets received with a wrong CRC: cable, module or port."),
    ("frames_rx_bad_all", "packets", "info", "Sum of the packets received with any error."),
    ("octets_rx_ok", "bytes", "traffic", "Bytes received without error."),
    ("octets_rx_all", "bytes", "traffic", "Bytes received, bad ones included."),
    ("frames_rx_unicast", "packets", "traffic", "Unicast packets received."),
    ("frames_rx_multicast", "packets", "traffic", "Multicast packets received."),
    ("frames_rx_broadcast", "packets", "traffic", "Broadcast packets received."),
    ("frames_rx_pause", "frames", "congestion", "Pause frames received: the fabric slows this port down."),
    ("frames_rx_pripause", "frames", "congestion", "PFC frames received: the fabric slows this port down."),
    ("frames_rx_bad_length", "packets", "error", "Length and packet do not match."),
    ("frames_rx_undersized", "packets", "error", "Shorter than 64 bytes."),
    ("frames_rx_oversized", "packets", "error", "Longer than the port's MTU."),
    ("frames_rx_fragments", "packets", "error", "Too short and with a wrong CRC."),
    ("frames_rx_jabber", "packets", "error", "Too long and with a wrong CRC."),
    ("frames_rx_stomped_crc", "packets", "error", "A switch on the way had already marked the packet bad."),
    ("frames_rx_too_long", "packets", "error", "Too long."),
    ("frames_rx_vlan_good", "packets", "traffic", "Packets with a VLAN tag received."),
    ("frames_rx_dropped", "packets", "error", "Dropped at the port: no buffer."),
    ("frames_rx_less_than_64b", "packets", "info", f"{_LENGTHS} received."),
    ("frames_rx_{n}b", "packets", "traffic", f"{_LENGTHS} received."),
    ("frames_rx_{n}b_{n}b", "packets", "traffic", f"{_LENGTHS} received."),
    ("frames_rx_other", "packets", "info", "Packets received of any other length."),
    ("frames_tx_ok", "packets", "traffic", "Packets sent."),
    ("frames_tx_all", "packets", "traffic", "Packets sent, bad ones included."),
    ("frames_tx_bad", "packets", "error", "Packets the port could not send."),
    ("octets_tx_ok", "bytes", "traffic", "Bytes sent."),
    ("octets_tx_total", "bytes", "traffic", "Bytes sent, bad packets included."),
    ("frames_tx_unicast", "packets", "traffic", "Unicast packets sent."),
    ("frames_tx_multicast", "packets", "traffic", "Multicast packets sent."),
    ("frames_tx_broadcast", "packets", "traffic", "Broadcast packets sent."),
    ("frames_tx_pause", "frames", "congestion", "Pause frames sent: this host or its PCIe cannot drain the port."),
    ("frames_tx_pripause", "frames", "congestion", "PFC frames sent: this host or its PCIe cannot drain the port."),
    ("frames_tx_vlan", "packets", "traffic", "Packets with a VLAN tag sent."),
    ("frames_tx_less_than_64b", "packets", "info", f"{_LENGTHS} sent."),
    ("frames_tx_{n}b", "packets", "traffic", f"{_LENGTHS} sent."),
    ("frames_tx_{n}b_{n}b", "packets", "traffic", f"{_LENGTHS} sent."),
    ("frames_tx_other", "packets", "info", "Packets sent of any other length."),
    ("frames_tx_pri_{n}", "packets", "traffic", "Packets sent of that priority."),
    ("frames_rx_pri_{n}", "packets", "traffic", "Packets received of that priority."),
    ("tx_pripause_{n}_1us_count", "us", "congestion", "Time that this port kept its partner from sending (PFC)."),
    ("rx_pripause_{n}_1us_count", "us", "congestion", "Time that PFC kept this port from sending."),
    ("rx_pause_1us_count", "us", "congestion", "Time that pause frames kept this port from sending."),
    ("frames_tx_truncated", "packets", "error", "Packets cut short on send."),
)

_IONIC_NETDEV: tuple[Row, ...] = (
    ("tx_tso", "packets", "info", "Packets segmented by the card."),
    ("tx_csum", "packets", "info", "Checksums made by the card."),
    ("rx_csum_error", "packets", "info", "Packets with a wrong checksum (TCP/IP)."),
    ("hw_tx_dropped", "packets", "info", "Dropped by the card on send (TCP/IP)."),
    ("hw_rx_dropped", "packets", "info", "Dropped by the card on receipt (TCP/IP)."),
    ("hw_rx_over_errors", "packets", "info", "Receive ring overruns (TCP/IP)."),
    ("hw_rx_missed_errors", "packets", "info", "Receive ring was empty (TCP/IP)."),
    ("hw_tx_aborted_errors", "packets", "info", "Packets not sent (TCP/IP)."),
    *((f"xdp_{end}", "packets", "info", f"XDP: {text}.") for end, text in (
        ("drop", "dropped"), ("aborted", "aborted"), ("pass", "passed on"), ("tx", "sent back"),
        ("redirect", "redirected"), ("frames", "frames sent"))),
)  # fmt: skip

_TX_ENDS = (
    ("pkts", "packets", "packets sent"),
    ("bytes", "bytes", "bytes sent"),
    ("clean", "events", "descriptors done"),
    ("dma_map_err", "errors", "mappings that failed"),
    ("linearize", "packets", "packets copied to fit"),
    ("frags", "packets", "fragments sent"),
    ("tso", "packets", "packets segmented by the card"),
    ("tso_bytes", "bytes", "bytes segmented by the card"),
    ("hwstamp_valid", "packets", "packets stamped"),
    ("hwstamp_invalid", "packets", "packets not stamped"),
    ("xdp_frames", "packets", "XDP frames"),
)
_RX_ENDS = (
    ("pkts", "packets", "packets received"),
    ("bytes", "bytes", "bytes received"),
    ("dma_map_err", "errors", "mappings that failed"),
    ("alloc_err", "errors", "buffers the kernel could not give"),
    ("csum_error", "packets", "wrong checksums"),
    ("csum_none", "packets", "checksums left to the kernel"),
    ("csum_complete", "packets", "checksums given by the card"),
    ("hwstamp_valid", "packets", "packets stamped"),
    ("hwstamp_invalid", "packets", "packets not stamped"),
    ("dropped", "packets", "packets dropped"),
    *((f"cache_{end}", "events", f"page cache, {end}") for end in ("full", "empty", "busy", "get", "put")),
    ("buf_exhausted", "events", "buffers used up"),
    ("buf_not_reusable", "events", "buffers not used again"),
    ("buf_reused", "events", "buffers used again"),
    *((f"xdp_{end}", "packets", f"XDP, {end}") for end in ("drop", "aborted", "pass", "tx", "redirect")),
)

_IONIC_QUEUES: tuple[Row, ...] = (
    *((f"tx_{{n}}_{end}", unit, "info", f"One send queue: {text}.") for end, unit, text in _TX_ENDS),
    *((f"rx_{{n}}_{end}", unit, "info", f"One receive queue: {text}.") for end, unit, text in _RX_ENDS),
)

GROUPS = (Group("ethtool", 64, None, _ORIGIN, _IONIC_PORT + _IONIC_NETDEV + _IONIC_QUEUES),)
