"""What each release of the operator knows: fields of the policy, and the images that go with it.

Fields: the CRD at every release tag of Mellanox/network-operator; images: its hack/release.yaml.
"""

from __future__ import annotations

Month = tuple[int, int]

KNOWN_SPEC: dict[str, tuple[Month, Month | None]] = {
    "devicePlugin": ((0, 1), (0, 4)),
    "nvPeerDriver": ((0, 1), (23, 7)),
    "ofedDriver": ((0, 1), None),
    "secondaryNetwork": ((0, 2), None),
    "secondaryNetwork.cniPlugins": ((0, 2), None),
    "secondaryNetwork.ipamPlugin": ((0, 2), (25, 10)),
    "secondaryNetwork.multus": ((0, 2), None),
    "rdmaSharedDevicePlugin": ((0, 4), None),
    "sriovDevicePlugin": ((0, 4), None),
    "nodeAffinity": ((1, 1), None),
    "psp": ((1, 1), (24, 1)),
    "secondaryNetwork.ipoib": ((1, 3), None),
    "ibKubernetes": ((1, 4), None),
    "nvIpam": ((23, 5), None),
    "tolerations": ((23, 7), None),
    "nicFeatureDiscovery": ((24, 1), None),
    "docaTelemetryService": ((24, 7), None),
    "nicConfigurationOperator": ((25, 4), None),
    "spectrumXOperator": ((25, 4), None),
    "deploymentNodeAffinity": ((25, 7), None),
    "deploymentTolerations": ((25, 7), None),
    "global": ((26, 4), None),
}
"""Field of a policy's spec -> (release that brought it, release that took it away)."""

NODE_SPEC = frozenset(("nodeSelector", "labels", "annotations"))
"""Of a NicNodePolicy alone (26.4)."""
KNOWN_SPEC.update(dict.fromkeys(NODE_SPEC, ((26, 4), None)))

FIELDS = {
    "nvPeerDriver": " (removed in 23.7: nvidia_peermem of the GPU driver)",
    "psp": " (removed in 24.1)",
    "secondaryNetwork.ipamPlugin": " (whereabouts, removed in 25.10: use nvIpam)",
    "devicePlugin": " (0.4: rdmaSharedDevicePlugin and sriovDevicePlugin)",
}
"""What is said of a field that is gone."""


def field_release(path: str) -> Month | None:
    """The release that took a field away."""
    return KNOWN_SPEC.get(path, ((0, 0), None))[1]


RENDERED: dict[tuple[str, str], str] = {
    ("26.7.0-rc.1", "doca-driver"): "doca3.5.0-26.07-0.7.0.0-0",
    ("26.7.0-rc.1", "doca_telemetry"): "1.25.5-doca3.4.0-host",
    ("26.7.0-rc.1", "xplane"): "3.5.0032",
}
"""(release, image) -> tag, of images whose tag does not name the release itself."""
