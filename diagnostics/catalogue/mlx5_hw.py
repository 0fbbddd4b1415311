"""Files of mlx5's `ports/N/hw_counters` and the optional counters that only netlink gives.

Q-counters are 32-bit in the firmware and wrap; drivers/infiniband/hw/mlx5/counters.c passes them on unwidened.
Which of them are errors is a judgement, and the one behind `errors_per_minute`:

- loss and reordering that the transport repaired are `congestion`: with adaptive routing they come with sound traffic;
- a timer that ran out, a used-up retry, a refused access and a receiver that was not ready are `error`;
- completions with error are `info`: `*_cqe_error` counts the flushed work requests of every queue pair that is torn
  down (1009 of which 998 were flushes on one captured idle host), and what failed has a counter of its own.
"""

from diagnostics.catalogue.group import Group

_MLX5 = "kernel mlx5/counters.c (Q counter, 32 bits); NVIDIA counter guide"

_Q_COUNTERS = Group(
    source="hw_counters",
    bits=32,
    limit="wrap",
    origin=_MLX5,
    rows=(
        ("rx_write_requests", "requests", "traffic", "RDMA writes that arrived here; a pure writer counts none."),
        ("rx_read_requests", "requests", "traffic", "RDMA reads that arrived here."),
        ("rx_atomic_requests", "requests", "traffic", "Atomics that arrived here."),
        ("rx_dct_connect", "requests", "traffic", "Connections to dynamically connected targets."),
        (
            "out_of_buffer",
            "events",
            "error",
            "A message came and no receive work request was posted: the application is too slow.",
        ),
        (
            "out_of_sequence",
            "packets",
            "congestion",
            "Packets that arrived out of order: loss or reordering on the way; some come with adaptive routing.",
        ),
        ("duplicate_request", "requests", "congestion", "Requests seen before: the peer retransmitted what had come."),
        (
            "rnr_nak_retry_err",
            "events",
            "error",
            "The peer said receiver-not-ready and the request was tried again; the retry limit was not yet reached.",
        ),
        (
            "packet_seq_err",
            "events",
            "congestion",
            "Sequence NAKs from the peer: it missed a packet, and this side sent again; the limit was not reached.",
        ),
        (
            "implied_nak_seq_err",
            "events",
            "congestion",
            "A response to a later request implied that an earlier read or atomic was lost; it was sent again.",
        ),
        (
            "local_ack_timeout_err",
            "events",
            "error",
            "The acknowledgement timer ran out and the request was sent again: loss, or a peer that does not answer.",
        ),
        ("resp_local_length_error", "errors", "error", "An incoming message was longer than its receive buffer."),
        (
            "resp_cqe_error",
            "completions",
            "info",
            "Receive completions with an error, flushed ones included: every teardown counts.",
        ),
        (
            "req_cqe_error",
            "completions",
            "info",
            "Send completions with an error, flushed ones included: every teardown counts.",
        ),
        ("resp_cqe_flush_error", "completions", "info", "Receive requests flushed when their queue pair was closed."),
        ("req_cqe_flush_error", "completions", "info", "Send requests flushed when their queue pair was closed."),
        ("req_remote_invalid_request", "errors", "error", "The peer refused a request as invalid."),
        ("req_remote_access_errors", "errors", "error", "The peer refused access: wrong key, range or rights."),
        (
            "resp_remote_access_errors",
            "errors",
            "error",
            "A peer's request was refused here: wrong key, range, rights.",
        ),
        (
            "req_transport_retries_exceeded",
            "events",
            "error",
            "All retransmissions were used up: the queue pair went to error, a connection was lost.",
        ),
        (
            "req_rnr_retries_exceeded",
            "events",
            "error",
            "All receiver-not-ready retries were used up: the queue pair went to error, a connection was lost.",
        ),
        ("roce_adp_retrans", "events", "congestion", "Adaptive retransmissions on RoCE, repaired by the card."),
        ("roce_adp_retrans_to", "events", "error", "RoCE traffic reached its time-out under adaptive retransmission."),
        ("roce_slow_restart", "events", "congestion", "RoCE transport restarted slowly after a loss."),
        ("roce_slow_restart_cnps", "events", "congestion", "CNPs that slow restart made."),
        ("roce_slow_restart_trans", "events", "congestion", "Times that slow restart changed its state to slow."),
    ),
)

_CONGESTION = Group(
    source="hw_counters",
    bits=64,
    limit=None,
    origin="kernel mlx5/counters.c (QUERY_CONG_STATISTICS); NVIDIA counter guide",
    rows=(
        (
            "np_ecn_marked_roce_packets",
            "packets",
            "congestion",
            "RoCE packets that a switch had marked with ECN: this receiver sits behind a full queue.",
        ),
        ("np_cnp_sent", "packets", "congestion", "Congestion notifications (CNP) this receiver sent to the senders."),
        ("rp_cnp_handled", "packets", "congestion", "CNPs that made this sender slow down."),
        (
            "rp_cnp_ignored",
            "packets",
            "congestion",
            "CNPs that came and changed nothing: no reaction point is enabled for that priority.",
        ),
    ),
)

_PHYSICAL = Group(
    source="hw_counters",
    bits=64,
    limit=None,
    origin="kernel mlx5/counters.c (PPCNT)",
    rows=(("rx_icrc_encapsulated", "packets", "error", "RoCE packets with a wrong ICRC: corrupted on the way here."),),
)

_OPTIONAL = Group(
    source="netlink",
    bits=64,
    limit=None,
    origin="kernel mlx5/counters.c (optional counters: off until `rdma statistic set … optional-counters`)",
    rows=(
        ("cc_rx_ce_pkts", "packets", "congestion", "Received packets marked Congestion Experienced."),
        ("cc_rx_cnp_pkts", "packets", "congestion", "CNPs received."),
        ("cc_tx_cnp_pkts", "packets", "congestion", "CNPs sent."),
        ("rdma_tx_packets", "packets", "traffic", "RDMA packets sent."),
        ("rdma_tx_bytes", "bytes", "traffic", "RDMA bytes sent."),
        ("rdma_rx_packets", "packets", "traffic", "RDMA packets received."),
        ("rdma_rx_bytes", "bytes", "traffic", "RDMA bytes received."),
    ),
)

GROUPS = (_Q_COUNTERS, _CONGESTION, _PHYSICAL, _OPTIONAL)
