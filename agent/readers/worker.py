"""One thread a device: what hangs in firmware holds up that device alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Job = Callable[[], None]


class Worker:
    """Runs one job at a time in a daemon thread. The caller waits up to a deadline and then goes on without it.

    There is never a second job, nor a second thread, while one hangs: a kernel read in uninterruptible sleep cannot be
    ended, so the thread is left to it, and is used again once it comes back.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._job: Job | None = None
        self._go = threading.Lock()
        self._done = threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._thread: threading.Thread | None = None
        self.busy_since: float | None = None
        """Monotonic time at which the job that still runs was started."""
        self.error: Exception | None = None
        """What the last job raised, unexpectedly."""

    def start(self, job: Job) -> bool:
        """Begin a job; False while the one before has not ended."""
        if not self.idle():
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._job = job
        self.busy_since = time.monotonic()
        self._go.release()
        return True

    def wait(self, deadline: float) -> bool:
        """Until the job has ended, or monotonic `deadline`; True when it has ended."""
        if self.busy_since is None:
            return True
        left = deadline - time.monotonic()
        if self._done.acquire(timeout=left) if left > 0 else self._done.acquire(blocking=False):
            self.busy_since = None
            return True
        return False

    def hangs(self, patience_s: float) -> bool:
        """Whether the job has been running for longer than that."""
        return not self.idle() and self.busy_since is not None and time.monotonic() - self.busy_since > patience_s

    def idle(self) -> bool:
        return self.wait(0.0)

    def close(self) -> None:
        """End the thread, now if it is idle, else as soon as its job comes back."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._job = None
        if self.idle():
            self._go.release()
        else:
            self._name = ""

    def _run(self) -> None:
        while True:
            self._go.acquire()
            job = self._job
            if job is None:
                return
            try:
                job()
                self.error = None
            except Exception as error:  # noqa: BLE001 - a reader's defect must not end the device's thread
                self.error = error
            self._done.release()
            if not self._name:
                return
