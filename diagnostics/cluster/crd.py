"""The CustomResourceDefinition of RdmaNode, made from the types that are written into it.

python -m diagnostics.cluster.crd > deploy/base/crd.yaml
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from diagnostics.cluster.rdmanode import GROUP, PLURAL, VERSION, RdmaNodeStatus

PRINTER_COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("Health", "string", ".status.health", 0),
    ("Ports", "string", ".status.portsText", 0),
    ("Rate", "number", ".status.rateGbps", 0),
    ("Tx", "number", ".status.txGbps", 0),
    ("Rx", "number", ".status.rxGbps", 0),
    ("Critical", "integer", ".status.findingCounts.critical", 0),
    ("Warning", "integer", ".status.findingCounts.warning", 0),
    ("Seen", "date", ".status.time", 0),
    ("Driver", "string", ".status.driverVersion", 1),
    ("Bench%", "number", ".status.benchmarkPercent", 1),
    ("Worst", "string", ".status.worst", 1),
)
"""Title, type, path and priority (1: only with `-o wide`) of what `kubectl get rdmanodes` prints; Gb/s throughout."""


def definition() -> dict[str, Any]:
    """The whole object, ready to apply."""
    schema = {
        "type": "object",
        "description": "How the RDMA fabric of one node is, as the rdmatop agent on it sees it.",
        "properties": {"status": _inline(msgspec.json.schema(RdmaNodeStatus))},
    }
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"priority": priority} if priority else {})}
        for name, kind, path, priority in PRINTER_COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": {"app.kubernetes.io/name": "rdmatop-agent"}},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"kind": "RdmaNode", "listKind": "RdmaNodeList", "plural": PLURAL, "singular": "rdmanode"},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema: references in place, one type each, `nullable` for what may be null."""
    definitions = schema.get("$defs", {})
    return _node({key: value for key, value in schema.items() if key != "$defs"}, definitions)


def _node(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _node(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in node:
        kinds = [each for each in node["anyOf"] if each.get("type") != "null"]
        return {**_node(kinds[0], definitions), "nullable": True}
    made: dict[str, Any] = {key: node[key] for key in ("type", "enum", "required") if node.get(key)}
    if "enum" in node:
        made["type"] = "string"
    if "properties" in node:
        made["properties"] = {name: _node(value, definitions) for name, value in node["properties"].items()}
    if isinstance(node.get("items"), dict):
        made["items"] = _node(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = _node(node["additionalProperties"], definitions)
    return made


def main() -> None:
    import yaml

    sys.stdout.write(yaml.safe_dump(definition(), sort_keys=False))


if __name__ == "__main__":
    main()
