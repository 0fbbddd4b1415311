"""The last minutes of TX and RX: buckets for a sparkline, and points for a chart."""

from __future__ import annotations

from collections import deque

from diagnostics.model import Series
from tui.widgets.values import epoch

RING_SECONDS = 600

Values = tuple[float | None, ...]


class Spark:
    """Means of TX and RX in buckets of `step` seconds, kept as they fill; the last is the one that fills."""

    __slots__ = ("_bucket", "_buckets", "_sums", "rx", "step", "tx")

    def __init__(self, step: float = 10.0, buckets: int = 20) -> None:
        self.step, self._buckets = step, buckets
        self.tx: Values = ()
        self.rx: Values = ()
        """Means of the buckets that are full, oldest first."""
        self._bucket = 0
        self._sums = (0.0, 0, 0.0, 0)

    def add(self, at: float, tx: float | None, rx: float | None) -> None:
        """A reading at epoch seconds."""
        bucket = int(at // self.step)
        if bucket != self._bucket:
            self._turn(bucket)
        a, n, b, m = self._sums
        self._sums = (a + (tx or 0.0), n + (tx is not None), b + (rx or 0.0), m + (rx is not None))

    def _turn(self, bucket: int) -> None:
        """Another bucket begins; those that nothing was added to are unknown."""
        if self._bucket:
            gap = (None,) * min(self._buckets, bucket - self._bucket - 1)
            tx, rx = self._means()
            keep = self._buckets - 1
            self.tx, self.rx = (*self.tx, tx, *gap)[-keep:], (*self.rx, rx, *gap)[-keep:]
        self._bucket, self._sums = bucket, (0.0, 0, 0.0, 0)

    def _means(self) -> tuple[float | None, float | None]:
        a, n, b, m = self._sums
        return a / n if n else None, b / m if m else None

    def spark(self) -> tuple[Values, Values]:
        """TX and RX of the last buckets, the one that fills last."""
        tx, rx = self._means()
        return (*self.tx, tx), (*self.rx, rx)


class Ring(Spark):
    """Ten minutes of TX and RX of one port, and the means of its last buckets for a sparkline.

    The buckets are kept as they fill: going through ten minutes of points at each sample was half of a frame's cost.
    """

    __slots__ = ("points",)

    def __init__(self, step: float = 10.0, buckets: int = 20) -> None:
        super().__init__(step, buckets)
        self.points: deque[tuple[float, float | None, float | None]] = deque()
        """Epoch seconds, TX Gb/s, RX Gb/s."""

    def add(self, at: float, tx: float | None, rx: float | None) -> None:
        if self.points and at <= self.points[-1][0]:
            return
        self.points.append((at, tx, rx))
        while self.points[0][0] < at - RING_SECONDS:
            self.points.popleft()
        super().add(at, tx, rx)

    def prepend(self, tx: Series, rx: Series) -> None:
        """Points of two series that are older than the ring's first."""
        end = epoch(tx.end)
        first = self.points[0][0] if self.points else end + 1
        count = min(len(tx.per_second), len(rx.per_second))
        for back in range(count):
            at = end - back * tx.interval_s
            if at < first - tx.interval_s / 2:
                self.points.appendleft((at, _gbps(tx.per_second[-1 - back]), _gbps(rx.per_second[-1 - back])))

    def buckets(self, end: float, step: float, count: int) -> tuple[list[float | None], list[float | None]]:
        """Means of TX and RX in `count` buckets of `step` seconds on fixed borders, so that only the last one moves."""
        last = end // step
        first = last - count + 1
        sums = [[0.0, 0.0, 0.0, 0.0] for _ in range(count)]
        for at, tx, rx in reversed(self.points):
            index = int(at // step - first)
            if index < 0:
                break
            if index >= count:
                continue
            total = sums[index]
            if tx is not None:
                total[0] += tx
                total[1] += 1
            if rx is not None:
                total[2] += rx
                total[3] += 1
        return [s[0] / s[1] if s[1] else None for s in sums], [s[2] / s[3] if s[3] else None for s in sums]


def _gbps(bytes_per_second: float | None) -> float | None:
    return None if bytes_per_second is None else bytes_per_second * 8e-9
