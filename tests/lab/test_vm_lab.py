"""The lab itself: what its devices promise to all other tests that run on them."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import devices

pytestmark = pytest.mark.vm


def test_two_active_devices_with_an_address_each(lab: None) -> None:
    for device in ("mlx5_0", "mlx5_1"):
        port = devices.DEVICES / device / "ports/1"
        assert (port / "state").read_text().strip() == "4: ACTIVE"
        assert ":0000:ffff:0a08:" in (port / "gids/1").read_text()


def test_traffic_moves_the_counters_of_both_ends(lab: None) -> None:
    with devices.traffic(30):
        before = [devices.counter(device, "sent_pkts", "hw_counters") for device in ("mlx5_0", "mlx5_1")]
        devices.until(
            lambda: all(
                devices.counter(device, "sent_pkts", "hw_counters") > count
                for device, count in zip(("mlx5_0", "mlx5_1"), before, strict=True)
            ),
            "packets and their acknowledgements",
        )


def test_words_are_a_quarter_of_the_bytes_sent(lab: None, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_0", "port_xmit_data", 1000)
    assert devices.counter("mlx5_0", "port_xmit_data") == 1000


def test_narrow_counters_stay_at_their_greatest_value(inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_0", "symbol_error", 70_000)
    assert devices.counter("mlx5_0", "symbol_error") == 65_535
    inject("mlx5_0", "symbol_error", 0)
    assert devices.counter("mlx5_0", "symbol_error") == 0


def test_a_failing_attribute_leaves_the_others(inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "fail", 1)
    with pytest.raises(OSError) as failure:
        devices.counter("mlx5_1", "link_downed")
    assert failure.value.errno == errno.EINVAL
    assert devices.counter("mlx5_1", "port_xmit_data") >= 0


def test_a_hanging_read_hangs_until_it_is_let_go(inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "hang", 1)
    reader = threading.Thread(target=devices.counter, args=("mlx5_1", "port_rcv_data"), daemon=True)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    assert devices.counter("mlx5_0", "port_rcv_data") >= 0
    inject("mlx5_1", "hang", 0)
    reader.join(5)
    assert not reader.is_alive()


def test_a_device_of_its_own_speed(inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "speed", 32)
    assert Path("/sys/class/infiniband/mlx5_1/ports/1/rate").read_text() == "100 Gb/sec (4X EDR)\n"
    assert Path("/sys/class/infiniband/mlx5_0/ports/1/rate").read_text() == "200 Gb/sec (4X HDR)\n"


def test_a_removed_device_answers_enodev_and_comes_back(lab: None) -> None:
    descriptor = os.open(devices.DEVICES / "mlx5_1/ports/1/hw_counters/sent_pkts", os.O_RDONLY)
    try:
        devices.remove("mlx5_1")
        with pytest.raises(OSError) as failure:
            os.pread(descriptor, 64, 0)
        assert failure.value.errno == errno.ENODEV
    finally:
        os.close(descriptor)
    devices.up()
    assert (devices.DEVICES / "mlx5_1").exists()
