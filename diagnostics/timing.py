"""Times as the wire has them: RFC 3339, UTC."""

import time


def rfc3339(epoch_s: float) -> str:
    """`1764000000.25` -> `2025-11-24T16:00:00.250Z`."""
    whole = int(epoch_s // 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((epoch_s - whole) * 1000):03d}Z"


def now() -> str:
    return rfc3339(time.time())
