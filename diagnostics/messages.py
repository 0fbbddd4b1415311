"""What a benchmark's message may be: operations and sizes, for the command, the form, the agent and its worker."""

from __future__ import annotations

from typing import get_args

from diagnostics.model import Operation

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
SMALLEST_BYTES, LARGEST_BYTES = 2, 8 << 20
"""From the smallest that has a first and a last byte to what fits every device's max_msg_sz."""
ALL_SIZES = tuple(1 << power for power in range(1, 24))
"""What `--size all` means: the powers of two from the one to the other."""
