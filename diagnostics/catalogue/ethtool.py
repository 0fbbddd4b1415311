"""`ethtool -S` of an mlx5 netdev (kernel Documentation/networking/device_drivers/ethernet/mellanox/mlx5/counters.rst).

`*_phy` is the wire of the physical port, whoever uses it; `*_vport_*` this function; the rest the driver's own queues,
which carry TCP/IP and no RDMA: their troubles are `info` here, and a queue's share of a total is never an error twice.
"""

from diagnostics.catalogue.group import Group, Row

_ORIGIN = "kernel mlx5 counters.rst"

_PORT: tuple[Row, ...] = (
    ("rx_packets_phy", "packets", "traffic", "Packets on the wire received, all functions of the port."),
    ("tx_packets_phy", "packets", "traffic", "Packets on the wire sent, all functions of the port."),
    ("rx_bytes_phy", "bytes", "traffic", "Bytes on the wire received."),
    ("tx_bytes_phy", "bytes", "traffic", "Bytes on the wire sent."),
    ("rx_multicast_phy", "packets", "traffic", "Multicast packets on the wire received."),
    ("tx_multicast_phy", "packets", "traffic", "Multicast packets on the wire sent."),
    ("rx_broadcast_phy", "packets", "traffic", "Broadcast packets on the wire received."),
    ("tx_broadcast_phy", "packets", "traffic", "Broadcast packets on the wire sent."),
    ("rx_bits_phy", "bits", "info", "Bits received by the PHY: the base of a bit error rate."),
    ("rx_{n}_bytes_phy", "packets", "traffic", "Packets received of that length."),
    ("rx_{n}_to_{n}_bytes_phy", "packets", "traffic", "Packets received of a length between the two."),
    ("rx_discards_phy", "packets", "error", "Dropped at the port, no buffer: host or PCIe too slow, or no PFC."),
    ("tx_discards_phy", "packets", "error", "Dropped on send: a stuck queue or a link that is down."),
    ("tx_errors_phy", "packets", "error", "Packets the port could not send."),
    ("rx_crc_errors_phy", "packets", "error", "Packets received with a wrong CRC: cable, module or port."),
    ("rx_symbol_err_phy", "packets", "error", "Packets received with a bad symbol: cable, module or port."),
    ("rx_pcs_symbol_err_phy", "errors", "error", "Symbol errors that FEC could not correct: traffic was lost."),
    ("rx_corrected_bits_phy", "bits", "info", "Bits that FEC corrected; normal on fast links, a rate to watch."),
    ("rx_err_lane_{n}_phy", "bits", "info", "Raw bit errors of one lane before FEC; one far above the rest: optics."),
    ("rx_fec_corrected_cw_lane_{n}_phy", "codewords", "info", "FEC codewords of one lane that were corrected."),
    ("rx_fragments_phy", "packets", "error", "Too short and with a wrong CRC."),
    ("rx_jabbers_phy", "packets", "error", "Too long and with a wrong CRC."),
    ("rx_undersize_pkts_phy", "packets", "error", "Shorter than 64 bytes."),
    ("rx_oversize_pkts_phy", "packets", "error", "Dropped for being longer than the port's MTU."),
    ("rx_in_range_len_errors_phy", "packets", "info", "The length field does not match the packet."),
    ("rx_out_of_range_len_phy", "packets", "info", "The length field is beyond what Ethernet allows."),
    ("rx_unsupported_op_phy", "packets", "info", "MAC control frames with an unknown opcode."),
    ("rx_mac_control_phy", "packets", "info", "MAC control frames received, pause among them."),
    ("tx_mac_control_phy", "packets", "info", "MAC control frames sent, pause among them."),
    ("rx_pause_ctrl_phy", "packets", "congestion", "Pause frames received: the fabric slows this port down."),
    ("tx_pause_ctrl_phy", "packets", "congestion", "Pause frames sent: this host or its PCIe cannot drain the port."),
    ("rx_buffer_passed_thres_phy", "events", "congestion", "The port's receive buffer filled beyond 85 %."),
    ("link_down_events_phy", "events", "error", "The link went down."),
    ("total_success_recovery_phy", "events", "error", "The PHY recovered a broken link without a link-down."),
    ("module_unplug", "events", "error", "The module was pulled out."),
    ("module_bus_stuck", "events", "error", "The module's management bus hung."),
    ("module_high_temp", "events", "error", "The module ran too hot."),
    ("module_bad_shorted", "events", "error", "The module's cable is shorted or bad."),
)  # fmt: skip

_PAUSE: tuple[Row, ...] = tuple(
    row
    for kind, name in (("prio{n}", "PFC"), ("global", "global pause"))
    for row in (
        (f"rx_{kind}_pause", "frames", "congestion", f"{name} frames received: congestion in the fabric."),
        (f"tx_{kind}_pause", "frames", "congestion", f"{name} frames sent: host or PCIe cannot drain the port."),
        (f"rx_{kind}_pause_duration", "us", "congestion", f"Time that {name} kept this port from sending."),
        (f"tx_{kind}_pause_duration", "us", "congestion", f"Time that this port stopped its partner ({name})."),
        (f"rx_{kind}_pause_transition", "events", "congestion", f"Times this port was paused or let go ({name})."),
        (f"tx_{kind}_pause_transition", "events", "congestion", f"Times this port began or ended to pause ({name})."),
    )
)  # fmt: skip

_PRIORITY: tuple[Row, ...] = (
    ("rx_prio{n}_bytes", "bytes", "traffic", "Bytes received of that priority."),
    ("tx_prio{n}_bytes", "bytes", "traffic", "Bytes sent of that priority."),
    ("rx_prio{n}_packets", "packets", "traffic", "Packets received of that priority."),
    ("tx_prio{n}_packets", "packets", "traffic", "Packets sent of that priority."),
    (
        "rx_prio{n}_discards",
        "packets",
        "congestion",
        "Share of rx_discards_phy of that priority; a lossless one must have none.",
    ),
    ("rx_prio{n}_buf_discard", "packets", "congestion", "Dropped for want of the host's receive buffer, by priority."),
    ("rx_prio{n}_cong_discard", "packets", "congestion", "Dropped for congestion of the host, by priority."),
    ("rx_prio{n}_marked", "packets", "congestion", "Marked with ECN by this card for congestion of the host."),
    ("tx_pause_storm_warning_events", "events", "congestion", "This host paused its partner for long."),
    ("tx_pause_storm_error_events", "events", "error", "This host paused so long that the card stopped pausing."),
)

_PCIE: tuple[Row, ...] = (
    ("rx_pci_signal_integrity", "errors", "error", "PCIe CRC and framing errors seen by the card: reseat, other slot."),
    ("tx_pci_signal_integrity", "errors", "error", "PCIe recoveries that the host's side began: reseat, other slot."),
    ("outbound_pci_buffer_overflow", "packets", "error", "Dropped because PCIe was slower than the network."),
    ("outbound_pci_stalled_rd_events", "seconds", "congestion", "Seconds with reads stalled for over 30 %."),
    ("outbound_pci_stalled_wr_events", "seconds", "congestion", "Seconds with writes stalled for over 30 %."),
)  # fmt: skip

_PCIE_NOW: tuple[Row, ...] = (
    ("outbound_pci_stalled_rd", "percent", "congestion", "Of the last second, reads waiting for PCIe."),
    ("outbound_pci_stalled_wr", "percent", "congestion", "Of the last second, writes waiting for PCIe."),
)  # fmt: skip

_VPORT: tuple[Row, ...] = (
    *(
        (f"{way}_vport_{kind}_{unit}", unit, "traffic", f"{text} {unit} {done} by this function.")
        for way, done in (("rx", "received"), ("tx", "sent"))
        for kind, text in (
            ("unicast", "Unicast Ethernet"),
            ("multicast", "Multicast Ethernet"),
            ("broadcast", "Broadcast Ethernet"),
            ("rdma_unicast", "Unicast RDMA"),
            ("rdma_multicast", "Multicast RDMA"),
            ("loopback", "Looped back"),
        )
        for unit in ("packets", "bytes")
    ),
    ("rx_steer_missed_packets", "packets", "info", "Arrived here and matched no steering rule; dropped."),
    ("rx_out_of_buffer", "packets", "info", "The netdev's receive ring was empty: TCP/IP queues, not RDMA."),
    ("rx_if_down_packets", "packets", "info", "Came while the netdev was down."),
    ("rx_oversize_pkts_buffer", "packets", "info", "Longer than the receive ring's buffers; dropped."),
    ("rx_oversize_pkts_sw_drop", "packets", "info", "Longer than the netdev's MTU; dropped by the driver."),
    ("dev_out_of_buffer", "packets", "info", "A queue owned by the device had no receive buffer."),
    ("dev_internal_queue_oob", "packets", "error", "Dropped for want of buffers of an internal queue."),
)


def _queues(way: str, rows: tuple[tuple[str, str, str], ...]) -> tuple[Row, ...]:
    """The netdev's total and one queue's share, for each of `(end of the name, unit, meaning)`."""
    traffic = ("packets", "bytes")
    totals = tuple((f"{way}_{end}", unit, "traffic" if end in traffic else "info", text) for end, unit, text in rows)
    shares = tuple((f"{way}{{n}}_{end}", unit, "info", f"{text[:-1]}, one queue.") for end, unit, text in rows)
    return totals + shares  # type: ignore[return-value]  # the class is narrowed from str


_RX_QUEUE = (
    ("packets", "packets", "Packets the netdev received (TCP/IP, no RDMA)."),
    ("bytes", "bytes", "Bytes the netdev received (TCP/IP, no RDMA)."),
    ("csum_complete", "packets", "Checksum given by the card."),
    ("csum_complete_tail", "packets", "Checksum given by the card, padding subtracted."),
    ("csum_complete_tail_slow", "packets", "Checksum given by the card, long padding subtracted."),
    ("csum_unnecessary", "packets", "Checksum checked by the card."),
    ("csum_unnecessary_inner", "packets", "Inner checksum checked by the card."),
    ("csum_none", "packets", "Checksum left to the kernel."),
    ("ecn_mark", "packets", "TCP/IP packets with an ECN mark."),
    ("lro_packets", "packets", "Packets made by large receive offload."),
    ("lro_bytes", "bytes", "Bytes of packets made by large receive offload."),
    ("gro_packets", "packets", "Packets merged by hardware GRO."),
    ("gro_bytes", "bytes", "Bytes merged by hardware GRO."),
    ("gro_skbs", "packets", "Buffers made by hardware GRO."),
    ("gro_large_hds", "packets", "Packets whose headers were too long for header split."),
    ("removed_vlan_packets", "packets", "VLAN tags the card took off."),
    ("wqe_err", "events", "Wrong opcodes in receive descriptors."),
    ("mpwqe_filler", "events", "Filler completions of a multi-packet ring."),
    ("mpwqe_filler_cqes", "events", "Filler completions of a multi-packet ring."),
    ("mpwqe_filler_strides", "events", "Strides used up by filler completions."),
    ("buff_alloc_err", "events", "Receive buffers the kernel could not give."),
    ("cqe_compress_blks", "blocks", "Compressed completion blocks."),
    ("cqe_compress_pkts", "packets", "Compressed completions."),
    ("page_reuse", "events", "Pages used again."),
    ("cache_reuse", "events", "Pages taken from the page cache."),
    ("cache_full", "events", "Pages not put back: the page cache was full."),
    ("cache_empty", "events", "Pages asked for while the page cache was empty."),
    ("cache_busy", "events", "Pages not taken: the head of the page cache was in use."),
    ("cache_waive", "events", "Pages not put back for their NUMA node."),
    ("cache_ext", "events", "Times the page cache grew."),
    ("cache_rdc", "events", "Times the page cache shrank."),
    ("congst_umr", "events", "Outstanding memory registrations above the limit."),
    ("arfs_err", "events", "Flow rules for a receive queue that could not be made."),
    ("arfs_add", "events", "Flow rules for a receive queue added."),
    ("arfs_update", "events", "Flow rules for a receive queue changed."),
    ("arfs_expired", "events", "Flow rules for a receive queue expired."),
    ("recover", "events", "Receive queues the driver had to recover."),
    ("xdp_drop", "packets", "Dropped by an XDP program."),
    ("xdp_redirect", "packets", "Redirected by an XDP program."),
    ("xdp_tx", "packets", "Sent back by an XDP program."),
    ("xdp_tx_xmit", "packets", "Sent back by an XDP program."),
    ("xdp_tx_mpwqe", "packets", "Multi-packet descriptors of XDP."),
    ("xdp_tx_inlnw", "packets", "Data segments inlined for XDP."),
    ("xdp_tx_nops", "events", "Empty descriptors of XDP."),
    ("xdp_tx_full", "events", "Not sent back by XDP: the ring was full."),
    ("xdp_tx_err", "errors", "Send completions of XDP with an error."),
    ("xdp_tx_cqe", "events", "Send completions of XDP."),
    *((f"pp_alloc_{end}", "events", f"Page pool: {text}.") for end, text in (
        ("fast", "pages from the cache"), ("slow", "pages from the allocator"),
        ("slow_high_order", "large pages from the allocator"), ("empty", "the ring was empty"),
        ("refill", "the cache was filled from the ring"), ("waive", "pages refused for their NUMA node"))),
    *((f"pp_recycle_{end}", "events", f"Page pool: {text}.") for end, text in (
        ("cached", "pages put into the cache"), ("cache_full", "the cache was full"),
        ("ring", "pages put into the ring"), ("ring_full", "the ring was full"),
        ("released_ref", "pages given up for another holder"))),
    *((f"tls_{end}", "packets", f"TLS offload: {text}.") for end, text in (
        ("decrypted_packets", "packets decrypted"), ("decrypted_bytes", "bytes decrypted"),
        ("resync_req_pkt", "packets that asked to resynchronise"), ("resync_req_start", "resynchronisations begun"),
        ("resync_req_end", "resynchronisations ended"), ("resync_req_skip", "resynchronisations skipped"),
        ("resync_res_ok", "resynchronisations that worked"), ("resync_res_retry", "resynchronisations tried again"),
        ("resync_res_skip", "answers skipped"), ("err", "errors"))),
)  # fmt: skip

_TX_QUEUE = (
    ("packets", "packets", "Packets the netdev sent (TCP/IP, no RDMA)."),
    ("bytes", "bytes", "Bytes the netdev sent (TCP/IP, no RDMA)."),
    ("tso_packets", "packets", "Packets segmented by the card."),
    ("tso_bytes", "bytes", "Bytes segmented by the card."),
    ("tso_inner_packets", "packets", "Tunnelled packets segmented by the card."),
    ("tso_inner_bytes", "bytes", "Tunnelled bytes segmented by the card."),
    ("csum_partial", "packets", "Checksum made by the card."),
    ("csum_partial_inner", "packets", "Inner checksum made by the card."),
    ("csum_none", "packets", "Checksum made by the kernel."),
    ("added_vlan_packets", "packets", "VLAN tags the card put on."),
    ("nop", "events", "Empty descriptors."),
    ("mpwqe_blks", "blocks", "Multi-packet descriptors."),
    ("mpwqe_pkts", "packets", "Packets in multi-packet descriptors."),
    ("stopped", "events", "Send queue full and stopped."),
    ("queue_stopped", "events", "Send queue full and stopped."),
    ("wake", "events", "Send queue woken."),
    ("queue_wake", "events", "Send queue woken."),
    ("dropped", "packets", "Dropped by the send queue."),
    ("queue_dropped", "packets", "Dropped by the send queue."),
    ("xmit_more", "packets", "Packets sent with one doorbell for several."),
    ("recover", "events", "Send queues the driver had to recover."),
    ("cqes", "events", "Send completions."),
    ("cqe_err", "errors", "Send completions with an error."),
    ("timestamps", "packets", "Packets stamped by the card."),
    *((f"xdp_{end}", "packets", f"XDP redirection: {text}.") for end, text in (
        ("xmit", "packets sent"), ("mpwqe", "multi-packet descriptors"), ("inlnw", "data segments inlined"),
        ("nops", "empty descriptors"), ("full", "ring full"), ("err", "errors"), ("cqes", "completions"))),
    *((f"tls_{end}", "packets", f"TLS offload: {text}.") for end, text in (
        ("encrypted_packets", "packets encrypted"), ("encrypted_bytes", "bytes encrypted"), ("ctx", "contexts"),
        ("ooo", "out of order"), ("dump_packets", "packets dumped"), ("dump_bytes", "bytes dumped"),
        ("resync_bytes", "bytes to resynchronise"), ("skip_no_sync_data", "skipped"),
        ("drop_no_sync_data", "dropped"), ("drop_bypass_req", "dropped"))),
)  # fmt: skip

_CHANNEL: tuple[Row, ...] = tuple(
    (f"{prefix}_{end}", "events", "info", f"{text}{where}.")
    for prefix, where in (("ch", ""), ("ch{n}", ", one channel"))
    for end, text in (
        ("events", "Hardware interrupts of the netdev"),
        ("poll", "NAPI polls of the netdev"),
        ("arm", "NAPI polls that armed the interrupt again"),
        ("aff_change", "Polls that stopped for a changed CPU affinity"),
        ("force_irq", "Interrupts that the driver forced"),
        ("eq_rearm", "Event queues that had to be armed again: an interrupt was lost"),
    )
)

GROUPS = (
    Group("ethtool", 64, None, _ORIGIN, _PORT + _PAUSE + _PRIORITY + _VPORT + _CHANNEL),
    Group("ethtool", 64, None, _ORIGIN, _queues("rx", _RX_QUEUE) + _queues("tx", _TX_QUEUE)),
    Group("ethtool", 32, None, f"{_ORIGIN}; MPCNT register, 32 bits", _PCIE),
    Group("ethtool", 32, "gauge", _ORIGIN, _PCIE_NOW),
)
