"""docs/checks.md, made from the registry: `python -m diagnostics.checks.docs > docs/checks.md`."""

from __future__ import annotations

import sys

from diagnostics.checks import REGISTRY
from diagnostics.checks.base import LAYERS, Check, Threshold, span
from diagnostics.kernel_log import RULES

HEAD = """# Checks

Made from the checks themselves by `python -m diagnostics.checks.docs`; a test keeps it true. `rdmatop explain ID`
prints the same. A check judges one node; `critical` makes a port or node failed, `warning` a warning, `info` is a note.

A manifest (YAML or JSON) can say what is expected and override a threshold; the finding then says so:

```yaml
devices: 8
ports:
  mlx5_bond_0: {expected: spare}
  mlx5_0/1: {expected: up, rate_gbps: 400}
thresholds:
  symbol-errors.per_hour: {value: 500, window_s: 3600}
```
"""


def markdown() -> str:
    """The whole file."""
    parts = [HEAD]
    for layer in LAYERS:
        checks = [check for check in REGISTRY.values() if check.layer == layer]
        if checks:
            parts.append(f"## {layer}\n")
            parts.extend(section(check) for check in checks)
    parts.append(_kernel_rules())
    return "\n".join(parts).rstrip() + "\n"


def section(check: Check) -> str:
    lines = [f"### {check.id}", "", f"{check.title}.", "", check.doc, ""]
    if check.thresholds:
        lines += ["Thresholds:", "", *(threshold_text(each) for each in check.thresholds), ""]
    if check.counters:
        lines += [f"Counters: {', '.join(f'`{name}`' for name in check.counters)}.", ""]
    lines += [f"Hint: {check.hint}.", ""]
    return "\n".join(lines)


def threshold_text(row: Threshold) -> str:
    """`- per_hour: 120 errors in 1 h (NVSentinel …)`."""
    within = f" in {span(row.window_s)}" if row.window_s is not None else ""
    link = f", {row.link}" if row.link else ""
    return f"- {row.name}: {row.value:g} {row.unit}{within} ({row.publisher}{link})"


def _kernel_rules() -> str:
    rows = [f"| {rule.id} | {rule.severity} | {rule.meaning} | {rule.next} | {rule.publisher} |" for rule in RULES]
    head = ["## Rules of kernel-log", "", "| rule | severity | meaning | next | publisher |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


if __name__ == "__main__":
    sys.stdout.write(markdown())
