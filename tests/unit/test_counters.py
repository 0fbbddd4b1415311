"""The catalogue against every name that the captures hold, and the judgements that peers got wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from diagnostics.counters import CATALOGUE, NOT_COUNTERS, CounterSpec, find, spec_of
from diagnostics.model import CounterSource

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RDMATOP_SHARED", ROOT.parent / "shared"))
Name = tuple[str, CounterSource]


def capture(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"no captures at {SHARED} (RDMATOP_SHARED)")
    return path


def tar(*arguments: str) -> str:
    packed = capture("sysfs", "trees.tar.zst")
    return subprocess.run(
        ["tar", "--zstd", *arguments, "-f", packed], capture_output=True, text=True, check=True
    ).stdout


def without_row(names: set[Name]) -> list[Name]:
    return sorted((name, source) for name, source in names if spec_of(name, source).meaning is None)


def names_in_trees() -> Iterator[Name]:
    folders: dict[str, CounterSource] = {
        "counters": "counters",
        "hw_counters": "hw_counters",
        "diag_counters": "hw_counters",
    }
    for path in tar("-t").splitlines():
        *_, folder, name = path.split("/")
        if folder in folders and name and name not in NOT_COUNTERS:
            yield name, folders[folder]


def aer_names() -> Iterator[Name]:
    for file in ("aer_dev_correctable", "aer_dev_nonfatal", "aer_dev_fatal"):
        for line in tar("-x", "-O", "--wildcards", f"*/{file}").splitlines():
            yield f"{file}.{line.split()[0]}", "pci"
    for path in tar("-t").splitlines():
        name = path.rpartition("/")[2]
        if name.startswith("aer_rootport"):
            yield name, "pci"


def ethtool_names() -> Iterator[Name]:
    for file in capture("captures", "ethtool").glob("*-S-*.txt"):
        for name in re.findall(r"^\s*(\w+): \d+$", file.read_text(), re.MULTILINE):
            yield name, "ethtool"


def perfquery_names() -> Iterator[Name]:
    for folder in ("perfquery", "perfquery-rcv-error"):
        for file in capture("captures", folder).glob("*.out"):
            for name in re.findall(r"^(\w+):\.+\w+$", file.read_text(), re.MULTILINE):
                if name not in NOT_COUNTERS:
                    yield name, "counters"
    for name in re.findall(r"\[(\w+) == \d+\]", capture("captures", "ibqueryerrors", "fdr-sx6036.txt").read_text()):
        yield name, "counters"


def rdma_names() -> Iterator[Name]:
    for file in capture("captures", "rdma").glob("rdma-statistic-*.txt"):
        for line in re.findall(r"^link \S+ (\w+ \d+(?: \w+ \d+)*)\s*$", file.read_text(), re.MULTILINE):
            for name in line.split()[::2]:
                yield name, "netlink"
        for names in re.findall(r"optional-counters (\S+)", file.read_text()):
            for name in names.split(","):
                yield name, "netlink"
    shown = capture("captures", "ibdev2netdev-show_gids", "show_counters-cx4lx-mlx5_0.txt").read_text()
    for name in re.findall(r"^(\w+): \d+$", shown, re.MULTILINE):
        if name not in NOT_COUNTERS:
            yield name, "hw_counters"


def fault_names() -> Iterator[Name]:
    for file in capture("captures", "counter-deltas").glob("*.csv"):
        for name in re.findall(r"^\w+,(\w+),\d+,\d+,\d+$", file.read_text(), re.MULTILINE):
            if name not in NOT_COUNTERS:
                folders: tuple[CounterSource, ...] = ("hw_counters", "counters")
                known = [source for source in folders if spec_of(name, source).meaning is not None]
                yield name, known[0] if known else "hw_counters"


READERS = {
    "trees": (names_in_trees, 90),
    "aer": (aer_names, 45),
    "ethtool": (ethtool_names, 300),
    "perfquery": (perfquery_names, 27),
    "rdma": (rdma_names, 30),
    "faults": (fault_names, 30),
}


@pytest.mark.parametrize("where", READERS)
def test_every_captured_name_has_a_row(where: str) -> None:
    read, at_least = READERS[where]
    names = set(read())
    assert len(names) >= at_least, "the capture was read wrongly"
    assert without_row(names) == []


# what reference texts and issue threads name
FIELD = """link_downed link_error_recovery symbol_error port_rcv_errors port_rcv_remote_physical_errors
port_rcv_switch_relay_errors port_xmit_discards port_xmit_constraint_errors port_rcv_constraint_errors
local_link_integrity_errors excessive_buffer_overrun_errors VL15_dropped port_xmit_wait out_of_sequence packet_seq_err
implied_nak_seq_err out_of_buffer rnr_nak_retry_err local_ack_timeout_err req_transport_retries_exceeded
req_rnr_retries_exceeded req_cqe_error req_remote_access_errors roce_slow_restart roce_slow_restart_cnps
roce_slow_restart_trans roce_adp_retrans roce_adp_retrans_to np_ecn_marked_roce_packets np_cnp_sent rp_cnp_handled
rp_cnp_ignored rx_icrc_encapsulated duplicate_request rx_prio3_pause tx_prio3_pause rx_prio0_pause_duration
tx_prio7_pause_duration rx_prio3_pause_transition rx_global_pause tx_pause_storm_warning_events
tx_pause_storm_error_events rx_prio3_discards rx_prio3_buf_discard rx_prio3_cong_discard rx_discards_phy
outbound_pci_stalled_rd outbound_pci_stalled_wr_events outbound_pci_buffer_overflow rx_pci_signal_integrity
rx_pcs_symbol_err_phy rx_corrected_bits_phy rx_bits_phy link_down_events_phy module_unplug module_high_temp
module_bad_shorted module_bus_stuck cc_rx_ce_pkts cc_rx_cnp_pkts cc_tx_cnp_pkts rdma_tx_packets rdma_rx_bytes
rx_vport_rdma_unicast_bytes tx_vport_rdma_multicast_packets rx_err_lane_2_phy rq_num_lle sq_num_to ip4InOctets
tcpRetransSegs retrans_bytes unresponsive_remote_events tx_rdma_ucast_bytes req_rx_cqe_err rcvd_seq_err
out_of_seq_request completer_retry_err retry_exceeded_err sent_pkts rx_steer_missed_packets"""


@pytest.mark.parametrize("name", FIELD.split())
def test_what_the_field_talks_of_can_be_explained(name: str) -> None:
    assert find(name)


CLASSES = {
    # painted green by others
    "out_of_sequence": "congestion",
    "port_xmit_discards": "error",
    "np_cnp_sent": "congestion",
    # teardown, not faults
    "req_cqe_flush_error": "info",
    "resp_cqe_flush_error": "info",
    "req_cqe_error": "info",
    "resp_cqe_error": "info",
    "sq_num_wrfe": "info",
    # repaired, and part of adaptive routing
    "packet_seq_err": "congestion",
    "duplicate_request": "congestion",
    # lost or refused
    "local_ack_timeout_err": "error",
    "rnr_nak_retry_err": "error",
    "req_transport_retries_exceeded": "error",
    "req_remote_access_errors": "error",
    "link_downed": "error",
    "symbol_error": "error",
    "rx_icrc_encapsulated": "error",
    # back-pressure
    "port_xmit_wait": "congestion",
    "rx_prio3_pause": "congestion",
    "tx_global_pause_duration": "congestion",
    # a link's everyday work
    "port_xmit_data": "traffic",
    "rx_corrected_bits_phy": "info",
    "rx3_wqe_err": "info",
}


@pytest.mark.parametrize(("name", "cls"), CLASSES.items())
def test_class_is_a_verdict(name: str, cls: str) -> None:
    source: CounterSource = find(name)[0].source
    assert spec_of(name, source).cls == cls


def test_a_netdevs_empty_ring_is_not_rdma() -> None:
    assert spec_of("rx_out_of_buffer", "ethtool").cls == "info"
    assert spec_of("rx_out_of_buffer", "hw_counters").cls == "error"


WIDTHS = {
    "port_xmit_data": (64, "clamp", 4, "bytes"),
    "port_xmit_wait": (32, "clamp", 1, "ticks"),
    "symbol_error": (16, "clamp", 1, "errors"),
    "port_xmit_discards": (16, "clamp", 1, "packets"),
    "link_downed": (8, "clamp", 1, "events"),
    "excessive_buffer_overrun_errors": (4, "clamp", 1, "events"),
    "out_of_buffer": (32, "wrap", 1, "events"),
    "np_cnp_sent": (64, None, 1, "packets"),
    "rx_icrc_encapsulated": (64, None, 1, "packets"),
    "outbound_pci_stalled_rd": (32, "gauge", 1, "percent"),
    "rx_prio{n}_pause_duration": (64, None, 1, "us"),
}


@pytest.mark.parametrize(("name", "facts"), WIDTHS.items())
def test_width_limit_scale_and_unit(name: str, facts: tuple[int, str | None, int, str]) -> None:
    spec = find(name)[0]
    assert (spec.bits, spec.limit, spec.scale, spec.unit) == facts


def test_rows_are_whole_and_unique() -> None:
    assert [key for key, count in Counter((spec.source, spec.name) for spec in CATALOGUE).items() if count > 1] == []
    for spec in CATALOGUE:
        assert spec.meaning is not None
        assert spec.meaning.endswith("."), spec
        assert spec.origin, spec
        assert spec.limit in ("clamp", "wrap", "gauge", None), spec
        assert spec.cls in ("traffic", "error", "congestion", "info"), spec
        assert spec.name not in NOT_COUNTERS


def test_nothing_but_pma_clamps_and_nothing_but_q_counters_wraps() -> None:
    """What clamps is taken for blind at its top, what wraps must be 32 bits wide: a wrong row would be a wrong rate."""
    assert all(spec.bits == 32 for spec in CATALOGUE if spec.limit == "wrap")
    assert {spec.source for spec in CATALOGUE if spec.limit == "wrap"} == {"hw_counters"}
    clamps = {spec.name for spec in CATALOGUE if spec.limit == "clamp" and spec.source != "counters"}
    assert clamps == {"symbol_errors"}


def test_an_unknown_counter_is_shown_and_not_judged() -> None:
    assert spec_of("frobs", "hw_counters") == CounterSpec("frobs", "hw_counters", "", 1, 64, None, "info", None, "")
    assert find("frobs") == []


def test_the_same_name_is_the_same_object() -> None:
    assert spec_of("rx_prio5_pause", "ethtool") is spec_of("rx_prio5_pause", "ethtool")


def test_netlink_answers_the_rows_of_the_folder() -> None:
    spec = spec_of("out_of_sequence", "netlink")
    assert (spec.source, spec.bits, spec.limit) == ("netlink", 32, "wrap")
    assert spec_of("vport_out_of_buffer", "hw_counters").limit == "wrap"


def test_a_family_is_found_by_any_of_its_spellings() -> None:
    for name in ("rx_prio3_pause", "rx_prioN_pause", "rx_prio{n}_pause"):
        assert [spec.name for spec in find(name)] == ["rx_prio{n}_pause"]
    assert spec_of("rx_prio3_pause", "ethtool").name == "rx_prio3_pause"


def test_a_number_in_a_name_is_not_every_number() -> None:
    """Only the family's own place may vary: `port_xmit_data2` is no port_xmit_data."""
    assert spec_of("port_xmit_data2", "counters").meaning is None
    assert spec_of("VL16_dropped", "counters").meaning is None


def test_other_spellings_of_one_register() -> None:
    assert [spec.name for spec in find("PortXmitWait")] == ["port_xmit_wait"]
    for name in ("aer_dev_fatal.DLP", "aer_dev_fatal/DLP", "aer_dev_fatal:DLP"):
        assert spec_of(name, "pci").meaning == spec_of("aer_dev_fatal.DLP", "pci").meaning
    assert spec_of("aer_dev_nonfatal.DLP", "pci").meaning != spec_of("aer_dev_fatal.DLP", "pci").meaning


def test_a_plain_port_imports_only_its_own_rows() -> None:
    program = (
        "import sys; from diagnostics.counters import spec_of; spec_of('port_xmit_data', 'counters');"
        "spec_of('out_of_buffer', 'netlink');"
        "print([name for name in sys.modules if name.startswith('diagnostics.catalogue.')])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"catalogue\.(\w+)", loaded)) == {"group", "pma", "mlx5_hw"}
