"""Both ends of a loopback in one process: device opened and checked, memory registered, queue pairs connected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agent.verbs.binding import Binding
from agent.verbs.completions import Completions
from agent.verbs.errors import JobError, completion_error, human_bytes, open_error
from agent.verbs.facts import gid_table, mtu_bytes, mtu_code, port_facts
from agent.verbs.gids import find, pick
from agent.verbs.memory import MAX_TOTAL_BYTES, Side, stride_bytes
from agent.verbs.protocol import Job, VerbsGid, VerbsPort

CHAIN_BYTES = 4 * 1024 * 1024
"""Of a chain at most: 80 us at 400 Gb/s, fifty times what Python needs to post the next one, and short enough that a
slow device still answers to cancel."""
DEPTH = 2
"""Chains in flight a queue pair: one is carried out while the other is posted."""
TIMEOUT = 18
"""Local ACK timeout, 4.096 us * 2^18 = 1.07 s: software devices and busy hosts answer later than perftest's 67 ms."""
RETRIES = 7
MIN_RNR_TIMER = 12
INLINE_BYTES = 220
"""Latency messages up to this size travel in the work request, as with perftest."""
FLUSHED = 5
"""IBV_WC_WR_FLUSH_ERR: the consequence of another failure, never the cause."""
MAX_LEFT_OVER = 65536
PHYS_STATES = {1: "Sleep", 2: "Polling", 3: "Disabled", 4: "Training", 5: "LinkUp", 6: "LinkErrorRecovery"}
DOWN_HINTS = {
    2: "no signal: cable, module or the other end",
    3: "disabled by the host or the driver: `ip link set NETDEV up`",
}


class Lane(NamedTuple):
    """A queue pair that is posted to, with all that is posted, built once."""

    post: Callable[[Any], None]
    chain: Any
    """First SendWR of a whole chain; only the last one is signalled."""
    single: Any
    """One signalled SendWR of the same message."""
    receive: Callable[[Any], None] | None
    """Of a send: post_recv of the other end."""
    receives: Any
    """First RecvWR of a chain as long as `chain`."""
    single_receive: Any
    source: memoryview
    sink: memoryview
    keep: list[Any]
    """pyverbs keeps no reference to the next request of a chain."""


class Loop:
    """One port looped to itself. Close it in the end; raises JobError while it is made."""

    def __init__(self, verbs: Binding, job: Job) -> None:
        self.verbs, self.job = verbs, job
        self.where = f"{job.device}/{job.port}"
        # a ping-pong needs both directions, a timed read one
        self.both_ways = job.operation != "read" if job.latency else job.bidirectional
        self.qps = 1 if job.latency else job.qps
        try:
            names = sorted(device.name.decode() for device in verbs.device.get_device_list())
            if job.device not in names:
                raise JobError(f"there is no RDMA device {job.device}", f"there are: {', '.join(names) or 'none'}")
            self.context = verbs.device.Context(name=job.device)
        except verbs.error as failed:
            raise open_error(job.device, getattr(failed, "error_code", None)) from failed
        try:
            self._build()
        except verbs.error as failed:
            self.context.close()
            raise JobError(f"{self.where}: {failed}", "look at the kernel log") from failed
        except JobError:
            self.context.close()
            raise

    def _build(self) -> None:
        job, verbs = self.job, self.verbs
        self.attributes = self.context.query_device()
        self.port = self._checked_port()
        self.gid = self._checked_gid()
        self.chain = self._chain_length()
        self.mtu = mtu_code(job.mtu_bytes or self.port.active_mtu_bytes or 1024)
        self.mtu_bytes = mtu_bytes(self.mtu)
        self._check_memory()
        self.pd = verbs.pd.PD(self.context)
        lanes = self.qps * (2 if self.both_ways else 1)
        # one completion a chain; but after a failure every message of every chain completes as flushed
        flushed = lanes * max(64, DEPTH * self.chain) + 64
        self.cq = Completions(
            verbs, self.context, min(flushed, max(self.attributes.max_cqe, self._cqe(lanes * DEPTH + 64)))
        )
        # every receive completes, so this queue holds what all lanes can have posted
        self.receive_cq = Completions(verbs, self.context, self._cqe(self._receive_depth() * lanes + 64))
        reads = job.operation == "read"
        near_sinks = self.qps if reads or self.both_ways else 0
        far_sinks = self.qps if not reads or self.both_ways else 0
        self.near = Side(verbs, self.pd, job.size_bytes, near_sinks, self.where)
        self.far = Side(verbs, self.pd, job.size_bytes, far_sinks, self.where)
        self._inline = self._can_inline()
        pairs = [(self._make_qp(), self._make_qp()) for _ in range(self.qps)]
        for near, far in pairs:
            self._connect(near, far.qp_num)
            self._connect(far, near.qp_num)
        self.pairs = pairs
        self.lanes = self._make_lanes()

    # ---- checks: each says what does not fit and what would ----

    def _checked_port(self) -> VerbsPort:
        job = self.job
        ports = self.attributes.phys_port_cnt
        if job.port > ports:
            raise JobError(f"{job.device} has no port {job.port}; it has {ports}")
        port = port_facts(self.context, job.port)
        require_active(self.where, port)
        largest = port.max_msg_bytes
        if largest is not None and job.size_bytes > largest:
            raise JobError(
                f"{self.where} moves messages of {human_bytes(largest)} at most, {human_bytes(job.size_bytes)} asked",
                f"use --size {largest} or less",
            )
        if job.qps * 2 > self.attributes.max_qp:
            most = self.attributes.max_qp // 2
            raise JobError(f"{job.device} has {self.attributes.max_qp} queue pairs; a loop of {job.qps} needs "
                           f"{job.qps * 2}", f"use --qps {most} or less")  # fmt: skip
        return port

    def _checked_gid(self) -> VerbsGid | None:
        gids, index = gid_table(self.verbs, self.context), self.job.gid_index
        if index is not None:
            chosen = find(gids, self.job.port, index)
            if chosen is None:
                filled = ", ".join(str(gid.index) for gid in gids if gid.port == self.job.port) or "none"
                raise JobError(f"{self.where} has no GID at index {index}", f"filled entries: {filled}")
            return chosen
        chosen = pick(gids, self.job.port, roce=self.is_roce)
        if chosen is None and self.is_roce:
            raise JobError(
                f"{self.where} has no usable GID", "give its netdev an address: `ip addr add`, and set it up"
            )
        return chosen

    @property
    def is_roce(self) -> bool:
        return self.port.link_layer == "Ethernet"

    def _chain_length(self) -> int:
        if self.job.latency:
            return 1
        most: int = max(1, self.attributes.max_qp_wr // DEPTH - 1)
        return max(1, min(self.job.chain, CHAIN_BYTES // self.job.size_bytes, most, self.job.iterations or most))

    def _check_memory(self) -> None:
        stride = stride_bytes(self.job.size_bytes)
        sinks = self.qps * (2 if self.both_ways else 1)
        total = stride * (2 + sinks)
        if total > MAX_TOTAL_BYTES:
            fit = (MAX_TOTAL_BYTES // stride - 2) // (2 if self.both_ways else 1)
            raise JobError(
                f"{self.qps} queue pairs of {human_bytes(self.job.size_bytes)} need {human_bytes(total)} of memory; "
                f"a benchmark takes {human_bytes(MAX_TOTAL_BYTES)} at most",
                f"use --qps {fit} or less",
            )

    # ---- queue pairs ----

    def _cqe(self, wanted: int) -> int:
        if wanted > self.attributes.max_cqe:
            raise JobError(
                f"{self.job.device} has completion queues of {self.attributes.max_cqe} entries; {wanted} are needed",
                "use fewer --qps or a shorter --chain",
            )
        return wanted

    def _receive_depth(self) -> int:
        """Receives that a queue pair can have posted: a chain more than may be in flight, as the completion of a send
        may be seen before the one of its receive."""
        return (DEPTH + 1) * self.chain if self.job.operation == "send" else 1

    def _can_inline(self) -> bool:
        return self.job.latency and self.job.operation != "read" and self.job.size_bytes <= INLINE_BYTES

    def _make_qp(self) -> Any:
        verbs = self.verbs
        try:
            return self._try_qp(INLINE_BYTES if self._inline else 0)
        except verbs.error:
            if not self._inline:
                raise
            self._inline = False
            return self._try_qp(0)

    def _try_qp(self, inline: int) -> Any:
        qp = self.verbs.qp
        cap = qp.QPCap(
            max_send_wr=max(64, DEPTH * self.chain),
            max_recv_wr=max(64, self._receive_depth()),
            max_send_sge=1,
            max_recv_sge=1,
            max_inline_data=inline,
        )
        attributes = qp.QPInitAttr(
            qp_type=self.verbs.enums.IBV_QPT_RC,
            scq=self.cq.handle,
            rcq=self.receive_cq.handle,
            cap=cap,
            sq_sig_all=0,  # pyverbs' default is 1: a completion for every message, and the queue overruns
        )
        # no QPAttr here: with one the constructor moves to INIT with empty rights, and every write ends in status 9
        return qp.QP(self.pd, attributes)

    def _connect(self, qp: Any, peer: int) -> None:
        """RESET to RTS, towards the same port."""
        verbs, e = self.verbs, self.verbs.enums
        attr = verbs.qp.QPAttr(port_num=self.job.port)
        attr.qp_access_flags = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ
        attr.dest_qp_num = peer
        attr.path_mtu = self.mtu
        reads = min(16, self.attributes.max_qp_rd_atom, self.attributes.max_qp_init_rd_atom)
        attr.max_rd_atomic = attr.max_dest_rd_atomic = max(1, reads)
        attr.min_rnr_timer, attr.rq_psn, attr.sq_psn = MIN_RNR_TIMER, 0, 0
        attr.timeout, attr.retry_cnt, attr.rnr_retry = TIMEOUT, RETRIES, RETRIES
        attr.ah_attr = self._address()
        qp.to_rts(attr)

    def _address(self) -> Any:
        """By GID where there must be one (RoCE, or a GID that was asked for), else by LID."""
        addr, job = self.verbs.addr, self.job
        if self.gid is not None and (self.is_roce or job.gid_index is not None or not self.port.lid):
            route = addr.GlobalRoute(dgid=self.context.query_gid(job.port, self.gid.index), sgid_index=self.gid.index)
            route.hop_limit = 64
            return addr.AHAttr(gr=route, is_global=1, port_num=job.port, dlid=self.port.lid or 0)
        if not self.port.lid:
            raise JobError(f"{self.where} has neither a LID nor a GID", "is a subnet manager running? `sminfo`")
        return addr.AHAttr(dlid=self.port.lid, is_global=0, port_num=job.port)

    # ---- work requests ----

    def _make_lanes(self) -> list[Lane]:
        lanes = [self._lane(i, near, far, self.near, self.far, i) for i, (near, far) in enumerate(self.pairs)]
        if self.both_ways:
            first = len(lanes)
            lanes += [
                self._lane(first + i, far, near, self.far, self.near, i) for i, (near, far) in enumerate(self.pairs)
            ]
        return lanes

    def _lane(self, number: int, qp: Any, peer: Any, own: Side, other: Side, index: int) -> Lane:
        """Lane `number` posts to `qp`, from `own` memory to sink `index` of the `other` side (a read the other way)."""
        keep: list[Any] = []
        reads, sends = self.job.operation == "read", self.job.operation == "send"
        sink_side, source_side = (own, other) if reads else (other, own)
        sink_at = sink_side.address + sink_side.sink_offset(index)
        if reads:
            local, remote = self._sge(sink_at, own), source_side.address
        else:
            local, remote = self._sge(own.address, own), sink_at
        rkey = None if sends else other.mr.rkey
        head = None
        for left in range(self.chain):
            head = self._request(number, local, rkey, remote, head, signalled=left == 0)
            keep.append(head)
        single = self._request(number, local, rkey, remote, None, signalled=True)
        receives = single_receive = None
        if sends:
            into = self._sge(sink_at, sink_side)
            for _ in range(self.chain):
                receives = self.verbs.wr.RecvWR(wr_id=number, num_sge=1, sg=[into], next_wr=receives)
                keep.append(receives)
            single_receive = self.verbs.wr.RecvWR(wr_id=number, num_sge=1, sg=[into])
        keep.append(qp)
        keep.append(peer)
        return Lane(
            post=qp.post_send,
            chain=head,
            single=single,
            receive=peer.post_recv if sends else None,
            receives=receives,
            single_receive=single_receive,
            source=source_side.source(),
            sink=sink_side.sink(index),
            keep=keep,
        )

    def _sge(self, address: int, side: Side) -> Any:
        return self.verbs.wr.SGE(address, self.job.size_bytes, side.mr.lkey)

    def _request(
        self, number: int, local: Any, rkey: int | None, remote: int, following: Any, *, signalled: bool
    ) -> Any:
        e = self.verbs.enums
        opcode = {"write": e.IBV_WR_RDMA_WRITE, "read": e.IBV_WR_RDMA_READ, "send": e.IBV_WR_SEND}[self.job.operation]
        flags = (e.IBV_SEND_SIGNALED if signalled else 0) | (e.IBV_SEND_INLINE if self._inline else 0)
        request = self.verbs.wr.SendWR(
            wr_id=number, opcode=opcode, num_sge=1, sg=[local], send_flags=flags, next_wr=following
        )
        if rkey is not None:
            request.set_wr_rdma(rkey, remote)
        return request

    def unsignalled(self, lane: int) -> Any:
        """A request like the lane's single one that gives no completion: what a latency loop posts mostly."""
        qp_index = lane % self.qps
        own, other = (self.near, self.far) if lane < self.qps else (self.far, self.near)
        rkey = None if self.job.operation == "send" else other.mr.rkey
        local = self._sge(own.address, own)
        remote = other.address + other.sink_offset(qp_index)
        request = self._request(lane, local, rkey, remote, None, signalled=False)
        self.lanes[lane].keep.append(request)
        return request

    # ---- while it runs ----

    def failure(self, status: int, vendor: int) -> JobError:
        """A completion that failed, said with the device's own state: a device that vanished is named first."""
        self.require_present()
        if status == FLUSHED:
            # what failed first is in one of the queues, perhaps not in this one
            status, vendor = next(self._left_over(), (status, vendor))
        return completion_error(status, vendor, f"{self.where}: RDMA {self.job.operation}")

    def _left_over(self) -> Iterator[tuple[int, int]]:
        """Status and vendor error of the failures that wait in the queues, the flushed ones left out."""
        for queue in (self.cq, self.receive_cq):
            poller = queue.poller
            for _ in range(MAX_LEFT_OVER):
                if poller.start_poll(queue.attr):
                    break
                status = poller.status
                vendor = poller.read_vendor_err() if status else 0
                poller.end_poll()
                if status not in (0, FLUSHED):
                    yield status, vendor

    def require_present(self) -> None:
        """Raises JobError when the device is gone or its port is not active any more."""
        kernel_folder = "/sys/class/infiniband"
        if os.path.isdir(kernel_folder) and not os.path.exists(f"{kernel_folder}/{self.job.device}"):
            raise JobError(f"{self.job.device} vanished during the run", "look at the kernel log, `rdma link`")
        try:
            port = port_facts(self.context, self.job.port)
        except self.verbs.error as failed:
            raise JobError(
                f"{self.where} stopped answering during the run: {failed}", "look at the kernel log"
            ) from failed
        require_active(self.where, port)

    def close(self) -> None:
        """Everything of the context, in the only order that does not crash: pyverbs' own, from the context down."""
        self.context.close()


def require_active(where: str, port: VerbsPort) -> None:
    """Raises JobError, marked as a port that is down, unless the port is ACTIVE."""
    if port.state == "ACTIVE":
        return
    physical = PHYS_STATES.get(port.phys_state or 0, "unknown")
    if port.state in ("INIT", "ARMED"):
        text = f"{where} is not active: {port.state}, physical state {physical}"
        raise JobError(text, "no subnet manager has configured it: `sminfo`, look at opensm", port_down=True)
    text = f"{where} is down: state {port.state or 'unknown'}, physical state {physical}"
    raise JobError(text, DOWN_HINTS.get(port.phys_state or 0, "cable, module or switch port"), port_down=True)
