"""Runs benchmarks: one at a time on an HCA, on idle ports, cancellable, each with a result whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from msgspec.structs import replace

from agent.benchmarks import guard, outcome
from agent.benchmarks.history import ENDED, KEPT, History
from agent.benchmarks.request import Target, check, targets
from agent.verbs.client import VerbsClient
from agent.verbs.errors import human_bytes
from agent.verbs.protocol import Job, Progress, Result, VerbsFacts
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, NodeSnapshot
from diagnostics.timing import now

log = logging.getLogger(__name__)

MAX_WAITING = KEPT
"""More could be forgotten before whoever started them has seen them."""
READING_S = 10.0
"""A reading that takes longer is done without: the counters of the result are then unknown."""
CANCEL_S = 6.0
"""The worker kills a run that does not stop within 3 s."""


class Benchmarks:
    """The benchmarks of one node. `read` takes a fresh reading with all counters."""

    def __init__(
        self,
        verbs: VerbsClient,
        read: Callable[[], Awaitable[NodeSnapshot]],
        on_result: Callable[[Benchmark], object] | None = None,
        earlier: Sequence[Benchmark] = (),
    ) -> None:
        """`earlier`: results of before, newest first."""
        self._verbs = verbs
        self._read = read
        self._on_result = on_result
        self._history = History()
        for result in reversed(earlier):
            self._history.put(result)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._cancelled: set[str] = set()
        self._batches: set[asyncio.Task[None]] = set()
        self._finished: dict[str, asyncio.Event] = {}

    # ---- what is asked of it ----

    def all(self) -> tuple[Benchmark, ...]:
        """Newest first, the last 200."""
        return self._history.all()

    def get(self, id: str) -> Benchmark:  # noqa: A002 - the wire's own name
        """Raises KeyError."""
        return self._history.get(id)

    def watch(self) -> AsyncIterator[Benchmark]:
        """Every change of every benchmark from now on, latest wins."""
        return self._history.watch()

    async def start(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        """Queues one item a port and size. Raises UserError, Unreachable for what cannot run."""
        check(request)
        self._require_room(len(request.sizes))
        facts = {device.name: device for device in await self._verbs.devices()}
        snapshot = await self._read()
        chosen = targets(request, snapshot)
        self._require_room(len(chosen) * len(request.sizes))
        _require_able(request, chosen, facts)
        unguarded = request.force or any(self._locks[target.hca].locked() for target in chosen)
        if not unguarded:
            await guard.require_idle(chosen, self._read)
        self._require_room(len(chosen) * len(request.sizes))  # others may have come while we looked
        items = self._items(request, chosen, snapshot)
        for item in items:
            self._finished[item.id] = asyncio.Event()
            self._history.put(item)
        guarded = request.force or not unguarded
        task = asyncio.get_running_loop().create_task(self._run_batch(request, chosen, items, guarded))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)
        return items

    async def ended(self, id: str) -> Benchmark:  # noqa: A002
        """Waits until it is neither queued nor running. Raises KeyError."""
        event = self._finished.get(id)
        if event is not None:
            await event.wait()
        return self._history.get(id)

    async def cancel(self, id: str) -> Benchmark:  # noqa: A002
        """What it had measured, state `cancelled`; one that has ended already stays as it is. Raises KeyError."""
        item = self._history.get(id)
        ended = self._finished.get(id)
        if ended is None:
            return item
        self._cancelled.add(id)
        if item.state == "queued":
            self._end(replace(item, state="cancelled", reason="cancelled before it began"))
        else:
            await self._verbs.cancel(id)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), CANCEL_S)
        return self._history.get(id)

    async def close(self) -> None:
        """Cancels what waits and runs."""
        for task in list(self._batches):
            task.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)

    # ---- one request ----

    def _require_room(self, more: int) -> None:
        """Raises UserError where so many more would be too many."""
        waiting = len(self._finished)
        if waiting + more <= MAX_WAITING:
            return
        if waiting:
            raise UserError(
                f"{waiting} benchmarks wait already, {more} more are too many", "let some end, or cancel them"
            )
        raise UserError(
            f"{more} benchmarks (ports times sizes) are more than {MAX_WAITING}", "name fewer ports, or fewer sizes"
        )

    def _items(
        self, request: BenchmarkRequest, chosen: tuple[Target, ...], snapshot: NodeSnapshot
    ) -> tuple[Benchmark, ...]:
        batch = self._history.new_id()
        return tuple(
            Benchmark(
                id=self._history.new_id(), batch=batch, kind="loopback", state="queued", verdict="unknown",
                reason=None, node=snapshot.node.node, device=target.port.device, port=target.port.port,
                peer_node=None, peer_device=None, peer_port=None, operation=request.operation, size_bytes=size,
                qps=request.qps, chain=request.chain, duration_s=None, bandwidth_gbps=None, messages_per_s=None,
                latency_us=None, expected_gbps=None, limited_by=None, verified=None, counters=None,
                cpu_percent=None, memory=None, started=None, error=None, bidirectional=request.bidirectional,
                gid_index=request.gid_index, boot_id=snapshot.boot_id,
            )
            for target in chosen
            for size in request.sizes
        )  # fmt: skip

    async def _run_batch(
        self, request: BenchmarkRequest, chosen: tuple[Target, ...], items: tuple[Benchmark, ...], guarded: bool
    ) -> None:
        """One after the other. Whatever happens, no item is left queued or running."""
        of_port = {(target.port.device, target.port.port): target for target in chosen}
        judged: set[Target] = set(chosen) if guarded else set()
        try:
            for item in items:
                target = of_port[item.device or "", item.port or 0]
                async with self._locks[target.hca]:
                    if item.id in self._finished:
                        await self._run_item(request, item, None if target in judged else target)
                        judged.add(target)
        finally:
            for item in items:
                left = self._history.get(item.id) if item.id in self._finished else None
                if left is not None:
                    self._end(replace(left, state="cancelled", progress=None, reason="cancelled: the agent ends"))

    async def _run_item(self, request: BenchmarkRequest, item: Benchmark, unjudged: Target | None) -> None:
        try:
            if unjudged is not None:
                await guard.require_idle((unjudged,), self._read)
            item = replace(item, state="running", started=now(), progress=0.0)
            self._history.put(item)
            self._end(await self._measured(request, item))
        except UserError as wrong:
            reason = f"{wrong.message} ({wrong.hint})" if wrong.hint else wrong.message
            self._end(replace(item, state="failed", progress=None, error=wrong.message, reason=reason))
        except Exception as wrong:
            # a defect of ours must not leave the item running for ever, nor end the batch
            log.exception("benchmark %s", item.id)
            text = f"internal error: {type(wrong).__name__}: {wrong}"
            self._end(replace(item, state="failed", progress=None, error=text, reason=text))

    async def _measured(self, request: BenchmarkRequest, item: Benchmark) -> Benchmark:
        before = await self._reading()
        job = _job(request, item)
        result = Result(id=item.id, outcome="cancelled")
        if item.id not in self._cancelled:
            async with contextlib.aclosing(self._verbs.run(job)) as replies:
                async for reply in replies:
                    if isinstance(reply, Result):
                        result = reply
                        break
                    await self._advance(item, reply)
        after = await self._reading() if result.messages else None
        return outcome.finish(self._history.get(item.id), result, before, after, self._history.all())

    async def _advance(self, item: Benchmark, progress: Progress) -> None:
        if item.id in self._cancelled:
            # the first cancel may have come before the worker had the job
            await self._verbs.cancel(item.id)
        gbps = progress.bandwidth_gbps
        self._history.put(replace(item, progress=progress.fraction, bandwidth_gbps=gbps, duration_s=progress.elapsed_s))

    async def _reading(self) -> NodeSnapshot | None:
        try:
            return await asyncio.wait_for(self._read(), READING_S)
        except (asyncio.TimeoutError, UserError, OSError) as failed:
            log.warning("benchmark without counters: %s", failed or "the reading hangs")
            return None

    def _end(self, item: Benchmark) -> None:
        """Once for each item."""
        finished = self._finished.pop(item.id, None)
        if finished is None:
            return
        assert item.state in ENDED
        self._cancelled.discard(item.id)
        self._history.put(item)
        finished.set()
        if self._on_result is not None:
            self._on_result(item)


def _job(request: BenchmarkRequest, item: Benchmark) -> Job:
    return Job(
        id=item.id,
        device=item.device or "",
        port=item.port or 1,
        operation=item.operation,
        size_bytes=item.size_bytes,
        qps=request.qps,
        chain=request.chain,
        duration_s=request.duration_s,
        iterations=request.iterations,
        latency=request.latency,
        bidirectional=request.bidirectional,
        gid_index=request.gid_index,
    )


def _require_able(request: BenchmarkRequest, chosen: tuple[Target, ...], facts: dict[str, VerbsFacts]) -> None:
    """The devices can be opened and take such messages; of several that were not named one that can is enough."""
    errors = []
    for target in chosen:
        known = facts.get(target.port.device)
        if known is None:
            errors.append(Unreachable(f"{target.port.device} has no verbs here", "only sysfs shows it: is it in this "
                                      "network namespace, and is its uverbs module loaded?"))  # fmt: skip
        elif not known.opened:
            errors.append(Unreachable(known.error or f"{known.name} cannot be opened", known.hint or ""))
        elif known.max_msg_bytes and max(request.sizes) > known.max_msg_bytes:
            raise UserError(
                f"{known.name} moves messages of {human_bytes(known.max_msg_bytes)} at most, "
                f"{human_bytes(max(request.sizes))} asked",
                "use a smaller --size",
            )
    if errors and len(errors) == len(chosen):
        raise errors[0]
