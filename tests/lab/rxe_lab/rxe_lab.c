// SPDX-License-Identifier: GPL-2.0
/*
 * Test-lab addition to rdma_rxe: what an mlx5 HCA shows and soft-RoCE does not.
 *
 *  - ports/1/counters/ with real bytes and packets, answered as a HCA's firmware does, by PMA MADs
 *  - mlx5's hw_counters beside rxe's own; they stay 0 until injected
 *  - parameters force_speed and force_width, e.g. 64 and 2 for "200 Gb/sec (4X HDR)"
 *  - /sys/module/rdma_rxe/parameters/inject takes "DEVICE NAME VALUE", where NAME is
 *      a counter of either folder: set to VALUE;
 *      speed, width: this device's own, over the parameters (0: the parameters again);
 *      fail: 1 makes every file of the classic counters attribute answer EINVAL (the 64-bit ones go on), 0 mends it;
 *      hang: 1 makes every read below counters/ wait, as one that waits for firmware, until 0 or a fatal signal.
 */
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <rdma/ib_pma.h>
#include "rxe.h"
#include "rxe_hw_counters.h"

int rxe_lab_speed, rxe_lab_width;
module_param_named(force_speed, rxe_lab_speed, int, 0644);
module_param_named(force_width, rxe_lab_width, int, 0644);

static const char *const pma_names[RXE_LAB_PMA_COUNT] = {
	[RXE_LAB_SYMBOL_ERROR]        = "symbol_error",
	[RXE_LAB_LINK_RECOVERY]       = "link_error_recovery",
	[RXE_LAB_LINK_DOWNED]         = "link_downed",
	[RXE_LAB_RCV_ERRORS]          = "port_rcv_errors",
	[RXE_LAB_RCV_REMPHYS]         = "port_rcv_remote_physical_errors",
	[RXE_LAB_RCV_RELAY]           = "port_rcv_switch_relay_errors",
	[RXE_LAB_XMIT_DISCARDS]       = "port_xmit_discards",
	[RXE_LAB_XMIT_CONSTRAINT]     = "port_xmit_constraint_errors",
	[RXE_LAB_RCV_CONSTRAINT]      = "port_rcv_constraint_errors",
	[RXE_LAB_INTEGRITY]           = "local_link_integrity_errors",
	[RXE_LAB_OVERRUN]             = "excessive_buffer_overrun_errors",
	[RXE_LAB_VL15_DROPPED]        = "VL15_dropped",
	[RXE_LAB_XMIT_WAIT]           = "port_xmit_wait",
	[RXE_LAB_XMIT_BYTES]          = "port_xmit_data",
	[RXE_LAB_RCV_BYTES]           = "port_rcv_data",
	[RXE_LAB_XMIT_PACKETS]        = "port_xmit_packets",
	[RXE_LAB_RCV_PACKETS]         = "port_rcv_packets",
	[RXE_LAB_UNICAST_XMIT]        = "unicast_xmit_packets",
	[RXE_LAB_UNICAST_RCV]         = "unicast_rcv_packets",
	[RXE_LAB_MULTICAST_XMIT]      = "multicast_xmit_packets",
	[RXE_LAB_MULTICAST_RCV]       = "multicast_rcv_packets",
};

static bool is_bytes(int i)
{
	return i == RXE_LAB_XMIT_BYTES || i == RXE_LAB_RCV_BYTES;
}

static int set_switch(struct rxe_dev *rxe, const char *name, int value)
{
	if (!strcmp(name, "speed"))
		WRITE_ONCE(rxe->lab.speed, value);
	else if (!strcmp(name, "width"))
		WRITE_ONCE(rxe->lab.width, value);
	else if (!strcmp(name, "fail"))
		WRITE_ONCE(rxe->lab.fail, value);
	else if (!strcmp(name, "hang"))
		WRITE_ONCE(rxe->lab.hang, value);
	else
		return -ENOENT;
	return 0;
}

/* in both folders where both have the name (link_downed): counters/ first, as perfquery sees it */
static int set_counter(struct rxe_dev *rxe, const char *name, u64 value)
{
	int i;

	for (i = 0; i < RXE_LAB_PMA_COUNT; i++)
		if (!strcmp(name, pma_names[i])) {
			/* kept in bytes, shown in words of four */
			atomic64_set(&rxe->lab.pma[i], is_bytes(i) ? value * 4 : value);
			return 0;
		}
	for (i = 0; i < RXE_NUM_OF_COUNTERS; i++)
		if (!strcmp(name, rxe_lab_counter_name(i))) {
			atomic64_set(&rxe->stats_counters[i], value);
			return 0;
		}
	return -ENOENT;
}

static int inject(const char *text, const struct kernel_param *kp)
{
	char device[IB_DEVICE_NAME_MAX], name[64];
	unsigned long long value;
	struct ib_device *ib;
	int rc;

	if (sscanf(text, "%63s %63s %llu", device, name, &value) != 3)
		return -EINVAL;
	ib = ib_device_get_by_name(device, RDMA_DRIVER_RXE);
	if (!ib)
		return -ENODEV;
	rc = set_switch(to_rdev(ib), name, value);
	if (rc)
		rc = set_counter(to_rdev(ib), name, value);
	ib_device_put(ib);
	return rc;
}

static const struct kernel_param_ops inject_ops = { .set = inject };
module_param_cb(inject, &inject_ops, NULL, 0200);

static u64 at_most(struct rxe_dev *rxe, int i, u64 limit)
{
	return min_t(u64, atomic64_read(&rxe->lab.pma[i]), limit);
}

static u64 words(struct rxe_dev *rxe, int i)
{
	return atomic64_read(&rxe->lab.pma[i]) / 4;
}

static void fill_class_info(struct ib_class_port_info *info)
{
	info->base_version = 1;
	info->class_version = 1;
	info->capability_mask = IB_PMA_CLASS_CAP_EXT_WIDTH;
}

/* PortCounters of IBTA 16.1.3.5: narrow, and they stay at their greatest value */
static void fill_classic(struct rxe_dev *rxe, u32 port, struct ib_pma_portcounters *c)
{
	u64 downed = atomic64_read(&rxe->lab.pma[RXE_LAB_LINK_DOWNED]) +
		     atomic64_read(&rxe->stats_counters[RXE_CNT_LINK_DOWNED]);

	c->port_select = port;
	c->symbol_error_counter = cpu_to_be16(at_most(rxe, RXE_LAB_SYMBOL_ERROR, U16_MAX));
	c->link_error_recovery_counter = at_most(rxe, RXE_LAB_LINK_RECOVERY, U8_MAX);
	c->link_downed_counter = min_t(u64, downed, U8_MAX);
	c->port_rcv_errors = cpu_to_be16(at_most(rxe, RXE_LAB_RCV_ERRORS, U16_MAX));
	c->port_rcv_remphys_errors = cpu_to_be16(at_most(rxe, RXE_LAB_RCV_REMPHYS, U16_MAX));
	c->port_rcv_switch_relay_errors = cpu_to_be16(at_most(rxe, RXE_LAB_RCV_RELAY, U16_MAX));
	c->port_xmit_discards = cpu_to_be16(at_most(rxe, RXE_LAB_XMIT_DISCARDS, U16_MAX));
	c->port_xmit_constraint_errors = at_most(rxe, RXE_LAB_XMIT_CONSTRAINT, U8_MAX);
	c->port_rcv_constraint_errors = at_most(rxe, RXE_LAB_RCV_CONSTRAINT, U8_MAX);
	c->link_overrun_errors = at_most(rxe, RXE_LAB_INTEGRITY, 15) << 4 | at_most(rxe, RXE_LAB_OVERRUN, 15);
	c->vl15_dropped = cpu_to_be16(at_most(rxe, RXE_LAB_VL15_DROPPED, U16_MAX));
	c->port_xmit_wait = cpu_to_be32(at_most(rxe, RXE_LAB_XMIT_WAIT, U32_MAX));
	c->port_xmit_data = cpu_to_be32(min_t(u64, words(rxe, RXE_LAB_XMIT_BYTES), U32_MAX));
	c->port_rcv_data = cpu_to_be32(min_t(u64, words(rxe, RXE_LAB_RCV_BYTES), U32_MAX));
	c->port_xmit_packets = cpu_to_be32(at_most(rxe, RXE_LAB_XMIT_PACKETS, U32_MAX));
	c->port_rcv_packets = cpu_to_be32(at_most(rxe, RXE_LAB_RCV_PACKETS, U32_MAX));
}

static void fill_extended(struct rxe_dev *rxe, u32 port, struct ib_pma_portcounters_ext *c)
{
	u64 sent = at_most(rxe, RXE_LAB_XMIT_PACKETS, U64_MAX);
	u64 received = at_most(rxe, RXE_LAB_RCV_PACKETS, U64_MAX);

	c->port_select = port;
	c->port_xmit_data = cpu_to_be64(words(rxe, RXE_LAB_XMIT_BYTES));
	c->port_rcv_data = cpu_to_be64(words(rxe, RXE_LAB_RCV_BYTES));
	c->port_xmit_packets = cpu_to_be64(sent);
	c->port_rcv_packets = cpu_to_be64(received);
	c->port_unicast_xmit_packets = cpu_to_be64(sent + at_most(rxe, RXE_LAB_UNICAST_XMIT, U64_MAX));
	c->port_unicast_rcv_packets = cpu_to_be64(received + at_most(rxe, RXE_LAB_UNICAST_RCV, U64_MAX));
	c->port_multicast_xmit_packets = cpu_to_be64(at_most(rxe, RXE_LAB_MULTICAST_XMIT, U64_MAX));
	c->port_multicast_rcv_packets = cpu_to_be64(at_most(rxe, RXE_LAB_MULTICAST_RCV, U64_MAX));
}

int rxe_lab_process_mad(struct ib_device *ibdev, int flags, u32 port, const struct ib_wc *wc,
			const struct ib_grh *grh, const struct ib_mad *in, struct ib_mad *out,
			size_t *out_size, u16 *pkey_index)
{
	struct rxe_dev *rxe = to_rdev(ibdev);
	void *data = ((struct ib_pma_mad *)out)->data;

	if (in->mad_hdr.mgmt_class != IB_MGMT_CLASS_PERF_MGMT || in->mad_hdr.method != IB_MGMT_METHOD_GET)
		return IB_MAD_RESULT_SUCCESS;
	while (READ_ONCE(rxe->lab.hang)) {
		schedule_timeout_killable(HZ / 10);
		if (fatal_signal_pending(current))
			return IB_MAD_RESULT_FAILURE;
	}
	memset(out->data, 0, sizeof(out->data));
	switch (in->mad_hdr.attr_id) {
	case IB_PMA_CLASS_PORT_INFO:
		fill_class_info(data);
		break;
	case IB_PMA_PORT_COUNTERS:
		if (READ_ONCE(rxe->lab.fail))
			return IB_MAD_RESULT_FAILURE;
		fill_classic(rxe, port, data);
		break;
	case IB_PMA_PORT_COUNTERS_EXT:
		fill_extended(rxe, port, data);
		break;
	default:
		return IB_MAD_RESULT_SUCCESS;
	}
	out->mad_hdr = in->mad_hdr;
	out->mad_hdr.method = IB_MGMT_METHOD_GET_RESP;
	return IB_MAD_RESULT_SUCCESS | IB_MAD_RESULT_REPLY;
}
