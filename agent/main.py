"""`rdmatop agent`: reads one node, answers on its sockets, and ends when it is told to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from agent.config import DEFAULT_STATE_DIR, AgentOptions
from agent.keeper import Keeper
from agent.logs import start_log
from agent.monitor import Monitor
from agent.readers.kernel_log import KernelLog
from agent.sampler import Sampler
from agent.server.service import Service, usable_state_dir
from agent.store import Store
from diagnostics.checks.engine import Judge
from diagnostics.errors import EXIT_INTERRUPTED, EXIT_OK, UserError
from diagnostics.version import VERSION

if TYPE_CHECKING:
    from agent.membership import Membership
    from agent.verbs.client import VerbsClient

log = logging.getLogger(__name__)

END_S = 1.8
"""SIGTERM ends the agent within 2 s, whatever hangs."""
_ENDS = {signal.SIGTERM: EXIT_OK, signal.SIGINT: EXIT_INTERRUPTED}


def run_agent(options: AgentOptions) -> int:
    """Runs until SIGTERM or SIGINT; the exit code. What is wrong with the options is said on stderr."""
    start_log(options.log_level, options.log_format)
    try:
        return asyncio.run(_run(options))
    except UserError as error:
        sys.stderr.write(f"rdmatop agent: {error.message}\n" + (f"  {error.hint}\n" if error.hint else ""))
        return error.code


async def _run(options: AgentOptions) -> int:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _listen_to_signals(ended)
    sampler = Sampler(options.root, options.node_name)
    member = _membership_of(options, sampler.node)
    if member is not None:
        sampler.resolve = member.pods.resolve
    state_dir = usable_state_dir(options, DEFAULT_STATE_DIR)
    service = Service(options, sampler.node, state_dir, member.authorizer if member else None)
    store = Store(state_dir)
    keeper = Keeper(_judge_of(state_dir), store, KernelLog() if options.root == "/" else None)
    sampler.baseline = keeper.restore_baseline(sampler.history, sampler.boot_id) or sampler.baseline
    verbs, verbs_state = _verbs_of(options)
    monitor = Monitor(
        sampler,
        interval_s=options.interval,
        verbs=verbs,
        verbs_state=verbs_state,
        judge=keeper,
        acknowledge=keeper.acknowledge,
        on_events=member.tell if member else None,
        events=store.events(),
        earlier=store.benchmarks(),
        on_result=store.save_benchmark,
    )
    log.info("rdmatop %s reads %s as node %s, every %g s", VERSION, options.root, sampler.node, options.interval)
    await monitor.start()
    service.start(monitor)
    if member is not None:
        member.start(monitor)
    try:
        return await ended
    finally:
        await service.close()
        if member is not None:
            await member.close()
        await monitor.close()
        keeper.close()
        log.info("ended")


def _judge_of(state_dir: str | None) -> Judge:
    return Judge(capabilities=frozenset({"store"}) if state_dir is not None else frozenset())


def _membership_of(options: AgentOptions, node: str) -> Membership | None:
    from agent.membership import Membership, find_cluster

    config = find_cluster(options)
    return Membership(config, node, publish=options.publish != "off") if config is not None else None


def _listen_to_signals(ended: asyncio.Future[int]) -> None:
    loop = asyncio.get_running_loop()
    for number, code in _ENDS.items():
        loop.add_signal_handler(number, _end, ended, number, code)


def _end(ended: asyncio.Future[int], number: signal.Signals, code: int) -> None:
    log.info("%s: ending", number.name)
    if ended.done():  # asked twice: at once
        os._exit(code)
    ended.set_result(code)
    watchdog = threading.Timer(END_S, os._exit, (code,))
    watchdog.daemon = True
    watchdog.start()


def _verbs_of(options: AgentOptions) -> tuple[VerbsClient | None, str]:
    """The client of the verbs worker, which is started or asked later, and why there is none."""
    if options.verbs == "off":
        return None, "off: --verbs off"
    if options.root != "/":
        return None, "off: a captured tree is read"
    from agent.verbs.client import VerbsClient

    return VerbsClient(None if options.verbs == "child" else options.verbs), "ok"
