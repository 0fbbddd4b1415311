# SPDX-License-Identifier: GPL-2.0
"""Put the lab's additions into a copy of the kernel's drivers/infiniband/sw/rxe (made for Linux 6.1).

Each change is an anchor that must stand exactly once in its file: a kernel that differs is refused, not half patched.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent

MLX5_COUNTERS = (
    "rx_write_requests rx_read_requests rx_atomic_requests out_of_buffer out_of_sequence rnr_nak_retry_err "
    "packet_seq_err implied_nak_seq_err local_ack_timeout_err resp_local_length_error resp_cqe_error req_cqe_error "
    "req_remote_invalid_request req_remote_access_errors resp_remote_access_errors resp_cqe_flush_error "
    "req_cqe_flush_error roce_adp_retrans roce_adp_retrans_to roce_slow_restart roce_slow_restart_cnps "
    "roce_slow_restart_trans rp_cnp_ignored rp_cnp_handled np_ecn_marked_roce_packets np_cnp_sent rx_icrc_encapsulated"
)

LAB_STATE = """\
enum rxe_lab_pma {
	RXE_LAB_SYMBOL_ERROR, RXE_LAB_LINK_RECOVERY, RXE_LAB_LINK_DOWNED, RXE_LAB_RCV_ERRORS, RXE_LAB_RCV_REMPHYS,
	RXE_LAB_RCV_RELAY, RXE_LAB_XMIT_DISCARDS, RXE_LAB_XMIT_CONSTRAINT, RXE_LAB_RCV_CONSTRAINT, RXE_LAB_INTEGRITY,
	RXE_LAB_OVERRUN, RXE_LAB_VL15_DROPPED, RXE_LAB_XMIT_WAIT, RXE_LAB_XMIT_BYTES, RXE_LAB_RCV_BYTES,
	RXE_LAB_XMIT_PACKETS, RXE_LAB_RCV_PACKETS, RXE_LAB_UNICAST_XMIT, RXE_LAB_UNICAST_RCV, RXE_LAB_MULTICAST_XMIT,
	RXE_LAB_MULTICAST_RCV, RXE_LAB_PMA_COUNT
};

struct rxe_lab {
	atomic64_t	pma[RXE_LAB_PMA_COUNT];
	int		speed, width, fail, hang;
};

extern int rxe_lab_speed, rxe_lab_width;

"""

PROTOTYPES = """\
const char *rxe_lab_counter_name(int i);
int rxe_lab_process_mad(struct ib_device *ibdev, int flags, u32 port, const struct ib_wc *wc,
			const struct ib_grh *grh, const struct ib_mad *in, struct ib_mad *out,
			size_t *out_size, u16 *pkey_index);

"""

LINK_SPEED = """\
	if (rxe->lab.speed ?: rxe_lab_speed)
		attr->active_speed = rxe->lab.speed ?: rxe_lab_speed;
	if (rxe->lab.width ?: rxe_lab_width)
		attr->active_width = rxe->lab.width ?: rxe_lab_width;
"""

COUNTER_NAME = """\
const char *rxe_lab_counter_name(int i)
{
	return rxe_counter_descs[i].name;
}

"""


class Insert(NamedTuple):
    """`text` goes before or after `anchor`, which is a whole line or the beginning of one."""

    file: str
    anchor: str
    text: str
    before: bool = False


def counted(direction: str, length: str) -> str:
    lines = f"\tatomic64_add({length}, &rxe->lab.pma[RXE_LAB_{direction}_BYTES]);\n"
    return lines + f"\tatomic64_inc(&rxe->lab.pma[RXE_LAB_{direction}_PACKETS]);\n"


INSERTS = (
    Insert(
        "rxe_hw_counters.h",
        "\tRXE_NUM_OF_COUNTERS\n",
        "".join(f"\tRXE_CNT_LAB_{name.upper()},\n" for name in MLX5_COUNTERS.split()),
        before=True,
    ),
    Insert("rxe_hw_counters.h", "#endif /* RXE_HW", PROTOTYPES, before=True),
    Insert(
        "rxe_hw_counters.c",
        '\t[RXE_CNT_RDMA_RECV].name           =  "rdma_recvs",\n',
        "".join(f'\t[RXE_CNT_LAB_{name.upper()}].name = "{name}",\n' for name in MLX5_COUNTERS.split()),
    ),
    Insert("rxe_hw_counters.c", "int rxe_ib_get_hw_stats(", COUNTER_NAME, before=True),
    Insert("rxe_verbs.h", "struct rxe_dev {\n", LAB_STATE, before=True),
    Insert("rxe_verbs.h", "\tatomic64_t\t\tstats_counters[RXE_NUM_OF_COUNTERS];\n", "\tstruct rxe_lab\t\tlab;\n"),
    Insert("rxe_verbs.c", "\t.driver_id = RDMA_DRIVER_RXE,\n", "\t.process_mad = rxe_lab_process_mad,\n"),
    # below its netdev's PCI address, where device plugins look for an HCA; other netdevs have no parent
    Insert(
        "rxe_verbs.c",
        "\tdev->node_type = RDMA_NODE_IB_CA;\n",
        "\tdev->dev.parent = rxe->ndev->dev.parent;\n",
        before=True,
    ),
    Insert("rxe_verbs.c", "\tif (attr->state == IB_PORT_ACTIVE)\n\t\tattr->phys_state", LINK_SPEED, before=True),
    # the length before the checksum is added, as the kernel sends it
    Insert("rxe_net.c", "\trxe_icrc_generate(skb, pkt);\n", "\tlab_len = pkt->paylen;\n", before=True),
    Insert("rxe_net.c", "\trxe_counter_inc(rxe, RXE_CNT_SENT_PKTS);\n", counted("XMIT", "lab_len")),
    Insert("rxe_recv.c", "\trxe_counter_inc(rxe, RXE_CNT_RCVD_PKTS);\n", counted("RCV", "pkt->paylen")),
    Insert("Makefile", "\trxe_hw_counters.o", "\trxe_lab.o \\\n", before=True),
)


def patch(folder: Path) -> None:
    """Change the rxe sources in `folder` in place. Raises ValueError when they are not as expected."""
    for insert in INSERTS:
        path = folder / insert.file
        text = path.read_text()
        if text.count(insert.anchor) != 1:
            raise ValueError(
                f"{insert.file}: {insert.anchor!r} stands there {text.count(insert.anchor)} times, not once"
            )
        pair = (insert.text, insert.anchor) if insert.before else (insert.anchor, insert.text)
        path.write_text(text.replace(insert.anchor, "".join(pair)))
    declare_length(folder / "rxe_net.c")
    shutil.copy(HERE / "rxe_lab.c", folder)


def declare_length(path: Path) -> None:
    """C wants the variable at the head of the function's body, which has no anchor of its own."""
    text = path.read_text()
    body = text.index("{\n", text.index("int rxe_xmit_packet(")) + 2
    path.write_text(text[:body] + "\tunsigned int lab_len;\n" + text[body:])
