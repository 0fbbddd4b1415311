"""Identity, ports, GIDs, netdevs, PCI and host facts, from trees made for one question each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.readers import gids, host, netdevs, pci, ports
from agent.readers.ethtool import of_channel, parse_capture
from agent.readers.identity import driver_of, guid, number_of, read_identity
from agent.readers.root import Root
from agent.sampler import Sampler
from agent.verbs.protocol import VerbsFacts, VerbsGid, VerbsPort
from diagnostics.model import NodeSnapshot
from tests.made_tree import MadeTree
from tests.shared import shared_path

SLOT = "pci0000:37/0000:37:01.0/0000:3a:00.0/0000:3b:00.0"
GEN5 = {"current_link_speed": "32.0 GT/s PCIe", "max_link_speed": "32.0 GT/s PCIe", "current_link_width": "16", "max_link_width": "16"}  # fmt: skip  # noqa: E501
CLASS = "sys/class/infiniband"


def once(made: MadeTree) -> NodeSnapshot:
    sampler = Sampler(str(made.path), "node-a")
    try:
        sampler.refresh()
        sampler.tick()
        return sampler.snapshot()
    finally:
        sampler.close()


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("4: ACTIVE", ports.STATES, "ACTIVE"),
        ("4: ACTIVE ()", ports.STATES, "ACTIVE"),
        ("DOWN", ports.STATES, "DOWN"),
        ("5: LINK_UP", ports.PHYS_STATES, "LinkUp"),
        ("9: <unknown>", ports.PHYS_STATES, "<unknown>"),
        ("99:", ports.STATES, "99:"),
        (None, ports.STATES, None),
    ],
)
def test_states(text: str | None, names: dict[int, str], expected: str | None) -> None:
    assert ports.named(text, names) == expected


@pytest.mark.parametrize(("netdev", "rdma"), [(1500, 1024), (8896, 4096), (9000, 4096), (4192, 4096), (4191, 2048), (300, None), (None, None)])  # fmt: skip  # noqa: E501
def test_rdma_mtu_as_the_kernel_derives_it(netdev: int | None, rdma: int | None) -> None:
    assert ports.roce_mtu(netdev) == rdma


def test_pcie_path_takes_the_narrowest_hop_and_the_slower_end(made: MadeTree) -> None:
    made.device("mlx5_0")
    parts = SLOT.split("/")
    made.pci("", "/".join(parts[:2]), **{**GEN5, "vendor": "0x8086", "class": "0x060400"})
    made.pci("", "/".join(parts[:3]), **{**GEN5, "current_link_width": "8", "vendor": "0x1000", "class": "0x060400"})
    made.pci("mlx5_0", SLOT, **{**GEN5, "numa_node": "1", "max_link_speed": "64.0 GT/s PCIe"})
    found = once(made).devices[0]
    assert (found.pci_address, found.numa_node, found.function) == ("0000:3b:00.0", 1, "pf")
    assert found.pcie is not None
    assert (found.pcie.narrowest, found.pcie.limit_gbps) == ("0000:3a:00.0", 230.5)
    assert (found.pcie.speed_gts, found.pcie.width, found.pcie.max_speed_gts, found.pcie.max_width) == (
        32.0,
        16,
        32.0,
        16,
    )


def test_equal_hops_name_the_device_itself(made: MadeTree) -> None:
    made.device("mlx5_0")
    made.pci("", "/".join(SLOT.split("/")[:2]), **GEN5)
    made.pci("mlx5_0", SLOT, **GEN5)
    pcie = once(made).devices[0].pcie
    assert pcie is not None
    assert (pcie.narrowest, pcie.limit_gbps) == ("0000:3b:00.0", 460.9)


@pytest.mark.parametrize("width", ["0", "63", "255", "x"])
def test_widths_of_empty_registers_are_unknown(made: MadeTree, width: str) -> None:
    made.device("mlx5_0")
    made.pci("mlx5_0", "pci0000:00/0000:01:00.0", current_link_width=width, current_link_speed="Unknown")
    assert once(made).devices[0].pcie is None


def test_a_vf_has_its_physical_functions_link(made: MadeTree) -> None:
    made.device("mlx5_0", hca_type="MT4126")
    made.pci("", "pci0000:00/0000:00:01.0/0000:01:00.0", **GEN5)
    folder = made.pci("mlx5_0", "pci0000:00/0000:00:01.0/0000:01:00.1", device="0x101e", current_link_width="0")
    made.link(f"{folder}/physfn", "../0000:01:00.0")
    found = once(made).devices[0]
    assert (found.function, found.physfn) == ("vf", "0000:01:00.0")
    assert found.card == "ConnectX-7"  # of the shared id, by the firmware's first number
    assert found.pcie is not None
    assert (found.pcie.width, found.pcie.limit_gbps) == (16, 460.9)


def test_a_subfunction_climbs_to_its_pci_function(made: MadeTree) -> None:
    made.device("mlx5_2")
    made.pci("", "pci0000:00/0000:03:00.0", **GEN5)
    made.write("sys/devices/pci0000:00/0000:03:00.0/mlx5_core.sf.4/net/en3f0pf0sf0/operstate", "up")
    made.link(f"{CLASS}/mlx5_2/device", "../../../devices/pci0000:00/0000:03:00.0/mlx5_core.sf.4")
    found = once(made)
    assert (found.devices[0].function, found.devices[0].pci_address) == ("sf", "0000:03:00.0")
    assert found.ports[0].netdev == "en3f0pf0sf0"


def test_a_bond_names_its_master_and_the_other_function(made: MadeTree) -> None:
    made.device("mlx5_bond_0")
    made.pci("mlx5_bond_0", "pci0000:00/0000:03:00.0")
    made.pci("", "pci0000:00/0000:03:00.1")
    for number in (0, 1):
        made.write(f"sys/devices/pci0000:00/0000:03:00.{number}/net/eth{number}/operstate", "up")
        made.link(f"sys/class/net/eth{number}", f"../../devices/pci0000:00/0000:03:00.{number}/net/eth{number}")
        made.link(f"sys/devices/pci0000:00/0000:03:00.{number}/net/eth{number}/device", f"../../../0000:03:00.{number}")
    made.write("sys/class/net/bond0/operstate", "up")
    made.write("sys/class/net/bond0/bonding/slaves", "eth0 eth1")
    folder = made.port_folder("mlx5_bond_0")
    made.write(f"{folder}/gids/0", "fe80:0000:0000:0000:0000:00ff:fe00:0001")
    made.write(f"{folder}/gid_attrs/types/0", "IB/RoCE v1")
    made.write(f"{folder}/gid_attrs/ndevs/0", "bond0")
    made.write("ethtool/eth0.txt", "rx_prio0_pause: 1")
    found = once(made)
    assert (found.devices[0].bond, found.devices[0].slave) == (True, "0000:03:00.1")
    assert found.ports[0].netdev == "bond0"
    assert [c.name for c in found.counters if c.source == "ethtool"] == ["rx_prio0_pause"]


def test_among_several_netdevs_the_dev_port_decides(made: MadeTree) -> None:
    made.device("mlx4_0")
    made.port("mlx4_0", 2)
    made.pci("mlx4_0", "pci0000:00/0000:03:00.0")
    for name, dev_port in {"ib0": 0, "ib0.8001": 0, "ib1": 1}.items():
        made.write(f"sys/devices/pci0000:00/0000:03:00.0/net/{name}/dev_port", dev_port)
    root = Root(str(made.path))
    assert netdevs.choose(root, f"{CLASS}/mlx4_0", 1, None, None) == "ib0"
    assert netdevs.choose(root, f"{CLASS}/mlx4_0", 2, None, None) == "ib1"
    assert netdevs.choose(root, f"{CLASS}/mlx4_0", 2, "told", "ib0") == "told"


def table(made: MadeTree, entries: dict[int, tuple[str, str]], size: int = 16) -> str:
    folder = made.port_folder("mlx5_0")
    for index in range(size):
        gid, kind = entries.get(index, ("0000:" * 7 + "0000", ""))
        made.write(f"{folder}/gids/{index}", gid)
        if kind:
            made.write(f"{folder}/gid_attrs/types/{index}", kind)
            made.write(f"{folder}/gid_attrs/ndevs/{index}", "eth0")
    return folder


LOCAL = "fe80:0000:0000:0000:0e42:a1ff:fe40:29a1"
MAPPED = "0000:0000:0000:0000:0000:ffff:0a08:0001"
GLOBAL = "2001:0db8:0000:0000:0000:0000:0000:0001"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({0: (LOCAL, "IB/RoCE v1"), 1: (LOCAL, "RoCE v2"), 2: (MAPPED, "IB/RoCE v1"), 3: (MAPPED, "RoCE v2")}, 3),
        ({4: (LOCAL, "IB/RoCE v1"), 5: (LOCAL, "RoCE v2"), 7: (GLOBAL, "RoCE v2")}, 7),
        ({0: (LOCAL, "IB/RoCE v1"), 1: (LOCAL, "RoCE v2")}, 0),
        ({5: (LOCAL, "RoCE v2")}, None),
        ({3: (GLOBAL, "RoCE v2"), 7: (MAPPED, "RoCE v2")}, 7),
        ({}, None),
    ],
)
def test_the_default_gid(made: MadeTree, entries: dict[int, tuple[str, str]], expected: int | None) -> None:
    made.device("mlx5_0")
    folder = table(made, entries)
    root = Root(str(made.path))
    whole = gids.read_gids(root, folder, "Ethernet") or ()
    short = gids.read_gids(root, folder, "Ethernet", until_default=True) or ()
    assert [entry.row for entry in whole] == sorted(entries)
    for found in (gids.default_gid(whole), gids.default_gid(short)):
        assert (found.row if found else None) == expected


def test_attributes_of_zero_gids_are_never_opened(made: MadeTree) -> None:
    made.device("mlx5_0")
    folder = table(made, {3: (MAPPED, "RoCE v2")}, size=255)
    root = Root(str(made.path))
    before = root.reads
    gids.read_gids(root, folder, "Ethernet")
    assert root.reads - before <= 255 + 2 + 1


def test_no_table_is_not_an_empty_one(made: MadeTree) -> None:
    made.device("mlx5_0")
    assert once(made).ports[0].gid_count is None
    table(made, {})
    assert once(made).ports[0].gid_count == 0


def test_gids_of_the_verbs_take_the_tables_place_on_a_live_host_only(made: MadeTree) -> None:
    made.device("mlx5_0")
    facts = VerbsFacts(
        name="mlx5_0",
        opened=True,
        ports=(VerbsPort(port=1, state="ACTIVE", phys_state=5, link_layer="Ethernet", lid=0, sm_lid=0, active_mtu_bytes=2048, max_mtu_bytes=4096, max_msg_bytes=1 << 30),),  # noqa: E501
        gids=(VerbsGid(port=1, index=3, gid=MAPPED, type="RoCEv2", ifindex=None),),
    )  # fmt: skip
    sampler = Sampler(str(made.path), verbs={"mlx5_0": facts})
    sampler.refresh()
    assert sampler.snapshot().ports[0].gid is None
    sampler.root.live = True  # as if this tree were the host's own
    assert sampler._verbs_of("mlx5_0")[1].gids == (gids.Entry(3, MAPPED, "RoCEv2", None),)
    assert sampler._verbs_of("mlx5_0")[1].mtu_bytes == 2048
    sampler.root.live = False
    sampler.close()


def test_pkeys_without_the_empty_ones(made: MadeTree) -> None:
    folder = made.device("mlx5_0") + "/ports/1"
    for index, key in enumerate(("0xffff", "0x0000", "0x8001")):
        made.write(f"{folder}/pkeys/{index}", key)
    assert once(made).ports[0].pkeys == ("0xffff", "0x8001")


def test_aer_counts_are_the_devices_own(made: MadeTree) -> None:
    made.device("mlx5_0")
    folder = made.pci("mlx5_0", "pci0000:00/0000:03:00.0")
    made.write(f"{folder}/aer_dev_correctable", "RxErr 3\nBadTLP 1\nTOTAL_ERR_COR 4")
    made.write(f"{folder}/aer_dev_fatal", "DLP 0\ngarbage\nTOTAL_ERR_FATAL -1")
    found = [c for c in once(made).counters if c.source == "pci"]
    assert {c.name: c.value for c in found} == {
        "aer_dev_correctable.RxErr": 3,
        "aer_dev_correctable.BadTLP": 1,
        "aer_dev_correctable.TOTAL_ERR_COR": 4,
        "aer_dev_fatal.DLP": 0,
    }
    assert {c.port for c in found} == {None}


def test_pci_functions_with_and_without_a_device_and_gpus(made: MadeTree) -> None:
    made.device("mlx5_0")
    made.pci("mlx5_0", "pci0000:00/0000:03:00.0")
    made.pci("", "pci0000:00/0000:04:00.0", device="0x101b", **{"class": "0x020700"})
    made.pci("", "pci0000:00/0000:05:00.0", device="0xc2d2", **{"class": "0x0c8000"})
    made.pci("", "pci0000:00/0000:06:00.0", vendor="0x10de", device="0x2330", **{"class": "0x030200"})
    made.pci("", "pci0000:00/0000:07:00.0", vendor="0x1d0f", device="0xefa2")
    found = once(made).host
    assert [(f.address, f.card, f.rdma, f.vendor) for f in found.pci_functions] == [
        ("0000:03:00.0", "ConnectX-7", "mlx5_0", "15b3"),
        ("0000:04:00.0", "ConnectX-6", None, "15b3"),
        ("0000:07:00.0", None, None, "1d0f"),
    ]
    assert found.gpus == 1


def test_host_facts_of_a_capture(made: MadeTree) -> None:
    made.write("proc/version", "Linux version 5.15.0-141-generic (buildd@x) (gcc 11) #151")
    made.write("sys/module/mlx5_core/version", "24.10-0.7.0")
    made.write("proc/modules", "mlx5_ib 1 0 - Live 0x0\nnvidia_peermem 1 0 - Live 0x0\nxfs 1 0 - Live 0x0")
    made.write("proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    400 kB\nHugePages_Total:       0")
    made.link("usr/lib/x86_64-linux-gnu/libibverbs.so.1", "libibverbs.so.1.14.44.0")
    found = once(made)
    assert found.node.kernel == "5.15.0-141-generic"
    assert (found.node.driver_version, found.host.driver_kind) == ("24.10-0.7.0", "doca")
    assert found.host.modules == {"mlx5_core": "24.10-0.7.0", "mlx5_ib": None, "nvidia_peermem": None}
    assert found.host.peer_memory == "nvidia_peermem"
    assert found.host.rdma_core == "44.0"
    assert (found.host.memory_bytes, found.host.memory_available_bytes) == (1_024_000, 409_600)
    assert (found.host.memlock_bytes, found.host.netns_mode, found.host.iommu) == (None, None, None)


def test_the_inbox_driver_has_no_version_of_its_own(made: MadeTree) -> None:
    made.write("proc/modules", "mlx5_core 1 0 - Live 0x0")
    found = once(made)
    assert (found.host.driver_kind, found.host.driver_version) == ("inbox", None)


def test_iommu_by_the_groups_of_the_rdma_functions(made: MadeTree) -> None:
    made.device("mlx5_0")
    folder = made.pci("mlx5_0", "pci0000:00/0000:03:00.0")
    made.write("sys/kernel/iommu_groups/7/type", "identity")
    made.link(f"{folder}/iommu_group", "../../../kernel/iommu_groups/7")
    assert once(made).host.iommu == "passthrough"
    made.write("sys/kernel/iommu_groups/7/type", "DMA-FQ")
    assert once(made).host.iommu == "translated"


def test_cpu_is_a_share_of_the_time_between() -> None:
    assert host.cpu_percent(host.CpuTimes(100, 1000), host.CpuTimes(150, 1200)) == 25.0
    assert host.cpu_percent(None, host.CpuTimes(1, 2)) is None
    assert host.cpu_percent(host.CpuTimes(1, 2), host.CpuTimes(1, 2)) is None


@pytest.mark.parametrize(("name", "channel"), [("rx3_packets", True), ("ch12_poll", True), ("tx_queue_0_bytes", True), ("rx_prio3_pause", False), ("rx_bytes_phy", False), ("rx_vport_rdma_unicast_bytes", False), ("ptp_cq0_cqe", True)])  # fmt: skip  # noqa: E501
def test_statistics_of_one_queue_are_left_out(name: str, channel: bool) -> None:
    assert of_channel(name) is channel


@given(st.text(max_size=300))
def test_any_text_is_ethtool_statistics_or_nothing(content: str) -> None:
    assert all(0 <= value < 1 << 64 for value in parse_capture(content).values())


@pytest.mark.parametrize(("text", "expected"), [("MT4129", 4129), ("4129", 4129), ("hca_type", None), ("MT", None), (None, None)])  # fmt: skip  # noqa: E501
def test_hca_types(text: str | None, expected: int | None) -> None:
    assert number_of(text) == expected


def test_drivers_of_families_and_guids() -> None:
    assert [driver_of(f"MT{n}") for n in (4099, 4113, 4129, 41692, 26428, 9)] == [
        "mlx4_core", "mlx5_core", "mlx5_core", "mlx5_core", "mlx4_core", None
    ]  # fmt: skip
    assert guid("b83f:d203:0092:dd30") == "b83f:d203:0092:dd30"
    assert guid("node_guid") is None


def test_soft_roce_names_its_parent(made: MadeTree) -> None:
    folder = made.device("mlx5_0", node_type="1: CA", fw_ver="0.0.0", hca_type="", parent="v0")
    found = read_identity(Root(str(made.path)), folder)
    assert (found.function, found.driver) == ("virtual", "rdma_rxe")
    assert once(made).ports[0].netdev == "v0"


def test_a_card_of_two_functions_has_two_ports(made: MadeTree) -> None:
    for number in (0, 1):
        made.device(f"mlx5_{number}", sys_image_guid="b83f:d203:0092:dd30")
    assert {p.max_rate_gbps for p in once(made).ports} == {200.0}


def test_pci_addresses() -> None:
    assert pci.is_address("0000:3b:00.0")
    assert pci.is_address("10000:e1:00.7")
    for text in ("pci0000:37", "0000:3b:00", "0000:80:02.2:pcie01", "..", ""):
        assert not pci.is_address(text)


def test_captured_ethtool_outputs() -> None:
    whole = parse_capture(shared_path("data/captures/ethtool/mlx5-S-cx4lx.txt").read_text())
    assert whole["tx_bytes_phy"] == 2662454044895
    assert whole["rx_vport_rdma_unicast_bytes"] == 0
    assert not [name for name in whole if of_channel(name)]
    part = parse_capture(shared_path("data/captures/ethtool/mlx5-S-pause-cx4lx.txt").read_text())
    assert (part["tx_global_pause"], part["tx_pci_signal_integrity"]) == (1266552, 3)
    assert all(name.isidentifier() for name in part)
