"""Tests marked `vm` run on real RDMA devices in the lab's virtual machine; here, or from here (see relay.py)."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab import devices, relay


def pytest_configure(config: pytest.Config) -> None:
    register(config)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    # pytest_configure does not come to a conftest that is found while collecting
    register(config)


def register(config: pytest.Config) -> None:
    if not relay.is_inside() and not config.pluginmanager.has_plugin("lab-relay"):
        config.pluginmanager.register(relay.Relay(), "lab-relay")


@pytest.fixture(scope="session")
def lab_devices() -> None:
    """mlx5_0 and mlx5_1, active, joined by a veth pair."""
    devices.up()


@pytest.fixture
def lab(lab_devices: None) -> Iterator[None]:
    """The two devices as they were made: whatever a test removes, switches off or breaks is put right after it."""
    yield
    if not devices.are_up():
        devices.up()
    devices.restore()


@pytest.fixture
def inject(lab: None) -> Callable[[str, str, int], None]:
    """Sets counters and faults of a device, where the kernel has the lab's module."""
    if not devices.INJECT.exists():
        pytest.skip("this distribution's lab has stock soft-RoCE, which takes no injection")
    return devices.inject
