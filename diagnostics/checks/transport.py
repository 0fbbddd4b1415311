"""Layer errors: what queue pairs had to send again, and what was refused."""

from __future__ import annotations

from diagnostics.checks.base import Judgement, State, Threshold, check
from diagnostics.checks.errors import NVSENTINEL, NVSENTINEL_LINK, OURS
from diagnostics.checks.rules import Rule, counters_of, judge_rules
from diagnostics.windows import MINUTE

RETRANSMITTED = (
    "packet_seq_err",
    "implied_nak_seq_err",
    "roce_adp_retrans",
    "roce_adp_retrans_to",
    "duplicate_request",
    "rcvd_seq_err",
    "completer_retry_err",
)
RETRIES = (
    Rule(
        ("req_transport_retries_exceeded", "retry_exceeded_err"),
        "connections lost after all retries",
        "warning",
        "lost",
        why="the peer did not answer; its queue pair is in error",
    ),
    Rule(("local_ack_timeout_err",), "acknowledgement timeouts", "warning", "ack_timeouts_per_s", "rate"),
    Rule(("roce_slow_restart",), "slow restarts after loss", "warning", "slow_restarts_per_s", "rate"),
    Rule(RETRANSMITTED, "retransmissions", "warning", "retransmissions_per_s", "rate"),
    Rule(("local_ack_timeout_err",), "acknowledgement timeouts", "info"),
    Rule(("roce_slow_restart",), "slow restarts after loss", "info"),
    Rule(RETRANSMITTED, "retransmissions", "info"),
)


@check(
    "transport-retries",
    layer="errors",
    title="Packets are sent again",
    hint="find where packets are lost: congestion and link findings here and on the peer, then the switch's drops",
    thresholds=(
        Threshold("lost", 0, "connections", MINUTE, "kernel commit b339e0a39dc3: retries used up; no published figure"),
        Threshold("ack_timeouts_per_s", 1, "timeouts/s", MINUTE, NVSENTINEL, NVSENTINEL_LINK),
        Threshold("slow_restarts_per_s", 10, "restarts/s", MINUTE, NVSENTINEL, NVSENTINEL_LINK),
        Threshold("retransmissions_per_s", 10, "packets/s", MINUTE, OURS),
    ),
    follows=(
        "link-down",
        "link-flap",
        "link-drop",
        "congestion-host",
        "congestion-fabric",
        "link-errors",
        "symbol-errors",
        "discards",
    ),
    counters=counters_of(RETRIES),
    clear_s=60,
)
def transport_retries(state: State) -> Judgement:
    """Meaning: a request was not acknowledged in time or in order and had to be sent again. Single ones are noise;
    many of them are bandwidth lost. `req_transport_retries_exceeded` is the end of the retries: a connection broke, and
    a job with it.

    Evidence: rises within a minute of timeouts, sequence errors, adaptive retransmissions and used-up retries.

    Next: the loss has a place: this port's link or congestion, the switch, or the peer. This check follows their
    findings where there are any.
    """
    yield from judge_rules(state, "transport-retries", RETRIES)


RNR = (
    Rule(
        ("req_rnr_retries_exceeded", "retry_rnr_exceeded_err"),
        "connections lost because the peer was never ready",
        "warning",
        "lost",
        why="the application on the peer posted no receive",
    ),
    Rule(
        ("rnr_nak_retry_err", "rcvd_rnr_err"), "receiver-not-ready answers from peers", "warning", "naks_per_s", "rate"
    ),
    Rule(
        ("out_of_buffer", "send_rnr_err"),
        "packets without a posted receive here",
        "warning",
        "out_of_buffer_per_s",
        "rate",
        why="the application on this host is too slow",
    ),
    Rule(("rnr_nak_retry_err", "rcvd_rnr_err"), "receiver-not-ready answers from peers", "info"),
    Rule(("out_of_buffer", "send_rnr_err"), "packets without a posted receive here", "info"),
)


@check(
    "rnr",
    layer="errors",
    title="The receiver was not ready",
    hint="the application posts too few receives: look at it, its CPU and its progress thread, not at the fabric",
    thresholds=(
        Threshold("lost", 0, "connections", MINUTE, "kernel commit b339e0a39dc3: retries used up; no published figure"),
        Threshold(
            "naks_per_s",
            10,
            "NAKs/s",
            MINUTE,
            OURS
            + f"; {NVSENTINEL} calls any rise fatal, but by NVIDIA's counter guide the retry limit was not exceeded",
        ),
        Threshold("out_of_buffer_per_s", 100, "packets/s", MINUTE, OURS),
    ),
    counters=counters_of(RNR),
    clear_s=60,
)
def rnr(state: State) -> Judgement:
    """Meaning: a packet came for which no receive had been posted. `rnr_nak_retry_err` counts answers of the peer that
    were retried and recovered; `req_rnr_retries_exceeded` counts connections that broke of it; `out_of_buffer` is the
    same seen from the side that was not ready.

    Evidence: rises within a minute. A rise of the recovered kind is a note, a broken connection a warning.

    Next: this is the application's doing, on the peer for `rnr_*`, on this host for `out_of_buffer`.
    """
    yield from judge_rules(state, "rnr", RNR)


REMOTE = (
    Rule(
        ("req_remote_access_errors", "resp_remote_access_errors"),
        "accesses refused",
        "warning",
        "refused",
        why="a wrong key, or memory that was gone",
    ),
    Rule(
        ("req_remote_invalid_request", "resp_local_length_error"),
        "invalid requests",
        "warning",
        "invalid",
        why="the two sides disagree on the operation or its length",
    ),
    Rule(("req_cqe_error", "resp_cqe_error"), "completions with an error", "info"),
)


@check(
    "remote-errors",
    layer="errors",
    title="Requests were refused",
    hint="see the application's log at that time; the two ends disagree on keys, memory or message sizes",
    thresholds=(
        Threshold("refused", 0, "requests", MINUTE, OURS),
        Threshold("invalid", 0, "requests", MINUTE, OURS),
    ),
    follows=("rnr", "transport-retries"),
    counters=counters_of(REMOTE),
    clear_s=60,
)
def remote_errors(state: State) -> Judgement:
    """Meaning: a request was answered with an error, which breaks its connection. The requester counts it
    (`req_remote_access_errors` for a wrong key, vendor error 0x88); the responder's counters often stay 0. Flush errors
    (`*_cqe_flush_error`) are the ordinary end of a queue pair and are not counted here.

    Evidence: rises within a minute. `req_cqe_error` alone is a note: it also rises with rnr and transport-retries.

    Next: this is the application's doing, not the fabric's.
    """
    yield from judge_rules(state, "remote-errors", REMOTE)
