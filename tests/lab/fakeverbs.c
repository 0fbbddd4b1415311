/* fakeverbs.so: libibverbs devices that exist only in this process, for pyverbs and perftest on a machine without RDMA.
 *
 *   gcc -O2 -shared -fPIC -o fakeverbs.so fakeverbs.c        (needs libibverbs-dev)
 *   LD_PRELOAD=./fakeverbs.so ib_write_bw ...
 *
 * Every work request is carried out while it is posted: writes, reads and sends are memcpys between the queue pairs of
 * this process. The environment says how the device looks and what goes wrong:
 *
 *   FAKE_DEVS=mlx5_0,mlx5_1     names
 *   FAKE_COPY=0                 move no bytes: what is left is the cost of the software
 *   FAKE_SHARED=DIR             registered memory lies in files below DIR, so that writes reach other processes too
 *   FAKE_PORT=down|init         port state            FAKE_LINK=ib      InfiniBand in place of Ethernet
 *   FAKE_GIDS=none|v1|local     an empty table, RoCE v1 entries alone, link-local entries alone
 *   FAKE_MAX_MSG=BYTES  FAKE_MAX_QP=N  FAKE_MAX_WR=N
 *   FAKE_MEMLOCK=BYTES          more registered memory than that: ENOMEM, as the kernel does
 *   FAKE_OPEN=ERRNO             the device cannot be opened      FAKE_LIST=ERRNO     nor listed
 *   FAKE_NO_CQ_EX=1             no extended completion queues, as old providers
 *   FAKE_NS=N                   each message takes N nanoseconds
 *   FAKE_FAULT=KIND:AFTER[:N]   after so many messages: wc (completion with status N), stall (no completion any more),
 *                               post (posting fails with errno N), flip (one byte of each message is wrong),
 *                               crash (segmentation fault), hang (posting never returns)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#undef ibv_query_port
#undef ibv_reg_mr

#define MAX_DEVS 16
#define MAX_QPS 4096
#define FIRST_QPN 0x100
#define N_GIDS 4

struct device { struct ibv_device ibv; int index; };
struct queue { /* a completion queue; both views of it begin alike */
	union { struct ibv_cq plain; struct ibv_cq_ex ex; } cq;
	struct ibv_wc *ring, *seen;
	uint32_t head, tail, mask;
	int polling;
};
struct receive { uint64_t wr_id, addr; uint32_t length; };
struct pair {
	struct ibv_qp_ex ex;
	struct ibv_qp_init_attr init;
	struct receive *receives;
	uint32_t peer, head, tail, mask;
	enum ibv_wr_opcode next_opcode; /* of the request that the ibv_wr_* calls put together */
	uint32_t next_rkey;
	uint64_t next_addr;
};
struct foreign { uint32_t rkey; uint64_t base, length; char *here; };

enum fault { NONE, WC, STALL, POST, FLIP, CRASH, HANG };
static struct device devices[MAX_DEVS];
static int n_devices = -1;
static struct pair *pairs[MAX_QPS];
static uint32_t next_pair, next_key = 0x1000;
static int moves_bytes = 1, is_ib, no_cq_ex, slow;
static enum ibv_port_state port_state = IBV_PORT_ACTIVE;
static long ns_each, fault_after, fault_number, max_msg = 1L << 30, max_qp = 131072, max_wr = 32768, memlock, locked;
static enum fault fault_kind;
static const char *shared, *gids = "";
static struct foreign mapped[64];
static int n_mapped;

static long number(const char *name, long otherwise)
{
	const char *text = getenv(name);
	return text ? atol(text) : otherwise;
}

static void read_fault(const char *text)
{
	static const char *names[] = { "", "wc", "stall", "post", "flip", "crash", "hang" };
	char kind[16] = "";
	sscanf(text, "%15[a-z]:%ld:%ld", kind, &fault_after, &fault_number);
	for (int i = 1; i <= HANG; i++)
		if (!strcmp(kind, names[i])) fault_kind = i;
}

static void begin(void)
{
	char *names, *name, *rest, *text;
	if (n_devices >= 0) return;
	n_devices = 0;
	names = strdup((text = getenv("FAKE_DEVS")) ? text : "mlx5_0");
	for (name = strtok_r(names, ",", &rest); name && n_devices < MAX_DEVS; name = strtok_r(NULL, ",", &rest)) {
		struct device *d = &devices[n_devices];
		d->index = n_devices;
		d->ibv.node_type = IBV_NODE_CA;
		d->ibv.transport_type = IBV_TRANSPORT_IB;
		snprintf(d->ibv.name, sizeof d->ibv.name, "%s", name);
		snprintf(d->ibv.dev_name, sizeof d->ibv.dev_name, "uverbs%d", n_devices);
		snprintf(d->ibv.ibdev_path, sizeof d->ibv.ibdev_path, "/sys/class/infiniband/%s", name);
		n_devices++;
	}
	free(names);
	moves_bytes = number("FAKE_COPY", 1) != 0;
	no_cq_ex = number("FAKE_NO_CQ_EX", 0) != 0;
	ns_each = number("FAKE_NS", 0);
	max_msg = number("FAKE_MAX_MSG", max_msg);
	max_qp = number("FAKE_MAX_QP", max_qp);
	max_wr = number("FAKE_MAX_WR", max_wr);
	memlock = number("FAKE_MEMLOCK", 0);
	shared = getenv("FAKE_SHARED");
	is_ib = (text = getenv("FAKE_LINK")) && !strcmp(text, "ib");
	if ((text = getenv("FAKE_GIDS"))) gids = text;
	if ((text = getenv("FAKE_PORT"))) port_state = strcmp(text, "init") ? IBV_PORT_DOWN : IBV_PORT_INIT;
	if ((text = getenv("FAKE_FAULT"))) read_fault(text);
	slow = ns_each || fault_kind;
}

/* ---- devices ---- */

struct ibv_device **ibv_get_device_list(int *count)
{
	struct ibv_device **list;
	begin();
	if ((errno = (int)number("FAKE_LIST", 0))) return NULL;
	list = calloc(n_devices + 1, sizeof *list);
	for (int i = 0; i < n_devices; i++) list[i] = &devices[i].ibv;
	if (count) *count = n_devices;
	return list;
}

void ibv_free_device_list(struct ibv_device **list) { free(list); }
const char *ibv_get_device_name(struct ibv_device *d) { return d->name; }
int ibv_get_device_index(struct ibv_device *d) { return ((struct device *)d)->index; }
__be64 ibv_get_device_guid(struct ibv_device *d) { return htobe64(0xb83fd20300000000ull + ((struct device *)d)->index); }

int ibv_query_device(struct ibv_context *c, struct ibv_device_attr *a)
{
	memset(a, 0, sizeof *a);
	strcpy(a->fw_ver, "28.43.2026");
	a->node_guid = a->sys_image_guid = ibv_get_device_guid(c->device);
	a->vendor_id = 0x02c9; a->vendor_part_id = 4129;
	a->max_mr_size = ~0ull; a->page_size_cap = 0xfffff000;
	a->max_qp = max_qp; a->max_qp_wr = max_wr; a->max_sge = a->max_sge_rd = 30;
	a->max_cq = 1 << 24; a->max_cqe = 1 << 22; a->max_mr = 1 << 24; a->max_pd = 1 << 23;
	a->max_qp_rd_atom = a->max_qp_init_rd_atom = 16;
	a->max_srq = 1 << 23; a->max_srq_wr = 32767; a->max_srq_sge = 31; a->phys_port_cnt = 1;
	return 0;
}

static int query_port(struct ibv_context *c, uint8_t port, struct ibv_port_attr *a, size_t length)
{
	struct ibv_port_attr p = {
		.state = port_state, .phys_state = port_state == IBV_PORT_DOWN ? 3 : 5,
		.max_mtu = IBV_MTU_4096, .active_mtu = IBV_MTU_4096, .gid_tbl_len = N_GIDS, .pkey_tbl_len = 1,
		.max_msg_sz = max_msg, .active_width = 2, .active_speed = 64, .max_vl_num = 1,
		.lid = is_ib ? 7 : 0, .sm_lid = is_ib ? 1 : 0,
		.link_layer = is_ib ? IBV_LINK_LAYER_INFINIBAND : IBV_LINK_LAYER_ETHERNET };
	if (port != 1) return EINVAL;
	memcpy(a, &p, length < sizeof p ? length : sizeof p);
	return 0;
}

int ibv_query_port(struct ibv_context *c, uint8_t port, struct _compat_ibv_port_attr *a)
{
	return query_port(c, port, (void *)a, offsetof(struct ibv_port_attr, port_cap_flags2));
}

/* ---- GIDs: InfiniBand has one; RoCE a pair (v1, v2) for the link-local and one for the IPv4 address ---- */

static int has_gid(uint32_t i)
{
	if (!strcmp(gids, "none")) return 0;
	if (is_ib) return i == 0;
	if (!strcmp(gids, "v1") && i % 2) return 0;
	return i < (strcmp(gids, "local") ? N_GIDS : 2);
}

static void fill_gid(int dev, uint32_t i, union ibv_gid *g)
{
	memset(g, 0, sizeof *g);
	if (i < 2) {
		g->raw[0] = 0xfe; g->raw[1] = 0x80;
	} else {
		g->raw[10] = g->raw[11] = 0xff; g->raw[12] = 10;
	}
	g->raw[15] = dev + 1;
}

int ibv_query_gid(struct ibv_context *c, uint8_t port, int i, union ibv_gid *g)
{
	if (i < 0 || i >= N_GIDS) return -1;
	memset(g, 0, sizeof *g);
	if (has_gid(i)) fill_gid(((struct device *)c->device)->index, i, g);
	return 0;
}

int _ibv_query_gid_ex(struct ibv_context *c, uint32_t port, uint32_t i, struct ibv_gid_entry *e, uint32_t flags, size_t size)
{
	if (!has_gid(i)) return ENODATA;
	memset(e, 0, size);
	fill_gid(((struct device *)c->device)->index, i, &e->gid);
	e->gid_index = i; e->port_num = port; e->ndev_ifindex = is_ib ? 0 : 1;
	e->gid_type = is_ib ? IBV_GID_TYPE_IB : i % 2 ? IBV_GID_TYPE_ROCE_V2 : IBV_GID_TYPE_ROCE_V1;
	return 0;
}

ssize_t _ibv_query_gid_table(struct ibv_context *c, struct ibv_gid_entry *e, size_t max, uint32_t flags, size_t size)
{
	size_t n = 0;
	for (uint32_t i = 0; i < N_GIDS && n < max; i++)
		if (!_ibv_query_gid_ex(c, 1, i, (void *)((char *)e + n * size), flags, size)) n++;
	return n;
}

/* ---- memory: with FAKE_SHARED the pages of a region become a file that another process can map by its key ---- */

static void share(struct ibv_mr *mr)
{
	uint64_t page = 4095, from = (uint64_t)mr->addr & ~page, to = ((uint64_t)mr->addr + mr->length + page) & ~page;
	char path[512], *old;
	int fd;
	snprintf(path, sizeof path, "%s/%x-%lx-%lx", shared, mr->rkey, (unsigned long)from, (unsigned long)(to - from));
	if ((fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0 || ftruncate(fd, to - from)) abort();
	old = malloc(to - from);
	memcpy(old, (void *)from, to - from);
	if (mmap((void *)from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) abort();
	memcpy((void *)from, old, to - from);
	free(old);
	close(fd);
}

static struct foreign *find_foreign(uint32_t rkey)
{
	char command[600], path[512];
	struct foreign *f;
	FILE *list;
	for (int i = 0; i < n_mapped; i++)
		if (mapped[i].rkey == rkey) return &mapped[i];
	snprintf(command, sizeof command, "ls %s/%x-*", shared, rkey);
	f = &mapped[n_mapped];
	if (n_mapped < 64 && (list = popen(command, "r"))) {
		if (fscanf(list, "%511s", path) == 1 &&
		    sscanf(strrchr(path, '/'), "/%x-%lx-%lx", &f->rkey, &f->base, &f->length) == 3) {
			int fd = open(path, O_RDWR);
			f->here = mmap(NULL, f->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			close(fd);
			n_mapped++;
		}
		pclose(list);
	}
	return f->rkey == rkey ? f : NULL;
}

static char *reach(uint64_t addr, uint32_t rkey)
{
	struct foreign *f = shared ? find_foreign(rkey) : NULL;
	return f ? f->here + (addr - f->base) : (char *)addr;
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct ibv_mr *mr;
	if (memlock && locked + (long)length > memlock) { errno = ENOMEM; return NULL; }
	locked += length;
	mr = calloc(1, sizeof *mr);
	mr->context = pd->context; mr->pd = pd; mr->addr = addr; mr->length = length;
	mr->lkey = mr->rkey = (next_key += 0x100) ^ (shared ? (uint32_t)getpid() << 16 : 0);
	if (shared) share(mr);
	return mr;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, unsigned access)
{
	return ibv_reg_mr(pd, addr, length, access);
}

int ibv_dereg_mr(struct ibv_mr *mr) { locked -= mr->length; free(mr); return 0; }

struct ibv_pd *ibv_alloc_pd(struct ibv_context *c)
{
	struct ibv_pd *pd = calloc(1, sizeof *pd);
	pd->context = c;
	return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd) { free(pd); return 0; }

/* ---- completions ---- */

static inline void complete(struct queue *q, uint64_t wr_id, int status, int opcode, uint32_t length, uint32_t qpn)
{
	struct ibv_wc *wc = &q->ring[q->head & q->mask];
	if (__builtin_expect(q->head - q->tail > q->mask, 0)) {
		fprintf(stderr, "fakeverbs: a completion queue of %u entries overran\n", q->mask + 1);
		abort();
	}
	wc->wr_id = wr_id; wc->status = status; wc->opcode = opcode; wc->byte_len = length; wc->qp_num = qpn;
	wc->vendor_err = status ? 0x80 + status : 0;
	wc->wc_flags = 0;
	__atomic_store_n(&q->head, q->head + 1, __ATOMIC_RELEASE);
}

static int poll_cq(struct ibv_cq *c, int room, struct ibv_wc *wc)
{
	struct queue *q = (struct queue *)c;
	int n = 0;
	while (n < room && q->tail != q->head) wc[n++] = q->ring[q->tail++ & q->mask];
	return n;
}

static int start_poll(struct ibv_cq_ex *c, struct ibv_poll_cq_attr *a)
{
	struct queue *q = (struct queue *)c;
	if (q->tail == q->head) return ENOENT;
	q->seen = &q->ring[q->tail++ & q->mask];
	q->polling = 1;
	c->status = q->seen->status;
	c->wr_id = q->seen->wr_id;
	return 0;
}

/* as rxe: an empty queue ends the poll here, and end_poll after that is a mistake */
static int next_poll(struct ibv_cq_ex *c)
{
	((struct queue *)c)->polling = 0;
	return start_poll(c, NULL);
}

static void end_poll(struct ibv_cq_ex *c)
{
	if (!((struct queue *)c)->polling) {
		fprintf(stderr, "fakeverbs: end_poll of a poll that has ended\n");
		abort();
	}
	((struct queue *)c)->polling = 0;
}

static uint32_t read_vendor_err(struct ibv_cq_ex *c) { return ((struct queue *)c)->seen->vendor_err; }
static uint32_t read_byte_len(struct ibv_cq_ex *c) { return ((struct queue *)c)->seen->byte_len; }
static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *c) { return ((struct queue *)c)->seen->opcode; }
static uint32_t read_qp_num(struct ibv_cq_ex *c) { return ((struct queue *)c)->seen->qp_num; }
static int req_notify(struct ibv_cq *c, int solicited) { return 0; }

static struct queue *make_queue(struct ibv_context *c, int entries, void *user, struct ibv_comp_channel *channel)
{
	struct queue *q = calloc(1, sizeof *q);
	uint32_t n = 1;
	while (n < (uint32_t)entries + 1) n <<= 1;
	q->cq.plain.context = c; q->cq.plain.channel = channel; q->cq.plain.cq_context = user; q->cq.plain.cqe = n - 1;
	q->ring = calloc(n, sizeof *q->ring);
	q->mask = n - 1;
	return q;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *c, int entries, void *user, struct ibv_comp_channel *channel, int vector)
{
	return &make_queue(c, entries, user, channel)->cq.plain;
}

static struct ibv_cq_ex *create_cq_ex(struct ibv_context *c, struct ibv_cq_init_attr_ex *a)
{
	struct ibv_cq_ex *ex = &make_queue(c, a->cqe, a->cq_context, a->channel)->cq.ex;
	ex->start_poll = start_poll; ex->next_poll = next_poll; ex->end_poll = end_poll;
	ex->read_vendor_err = read_vendor_err; ex->read_byte_len = read_byte_len;
	ex->read_opcode = read_opcode; ex->read_qp_num = read_qp_num;
	return ex;
}

int ibv_destroy_cq(struct ibv_cq *c) { free(((struct queue *)c)->ring); free(c); return 0; }

/* ---- queue pairs ---- */

static inline struct pair *peer_of(struct pair *p)
{
	uint32_t i = p->peer - FIRST_QPN;
	return i < MAX_QPS ? pairs[i] : NULL;
}

static int deliver(struct pair *from, char *data, uint32_t length)
{
	struct pair *to = peer_of(from);
	struct receive *r;
	if (!to || to->tail == to->head) return IBV_WC_RNR_RETRY_EXC_ERR;
	r = &to->receives[to->tail++ & to->mask];
	if (length > r->length) return IBV_WC_REM_INV_REQ_ERR;
	if (moves_bytes) memcpy((char *)r->addr, data, length);
	complete((struct queue *)to->ex.qp_base.recv_cq, r->wr_id, 0, IBV_WC_RECV, length, to->ex.qp_base.qp_num);
	return 0;
}

static long misbehave(void) /* what the fault makes of the next message: -1 nothing, else a completion status */
{
	static long count;
	struct timespec t;
	if (ns_each) {
		long until;
		clock_gettime(CLOCK_MONOTONIC, &t);
		until = t.tv_sec * 1000000000L + t.tv_nsec + ns_each;
		do clock_gettime(CLOCK_MONOTONIC, &t); while (t.tv_sec * 1000000000L + t.tv_nsec < until);
	}
	if (!fault_kind || ++count <= fault_after) return -1;
	if (fault_kind == CRASH) raise(SIGSEGV);
	while (fault_kind == HANG) pause();
	return fault_kind == WC ? fault_number : fault_kind == FLIP ? -1 : 0;
}

/* plain values and inline, as everything here is charged to whoever is measured on this device */
static inline __attribute__((always_inline)) int carry_out(struct pair *p, enum ibv_wr_opcode what, uint64_t wr_id,
	unsigned flags, char *data, uint32_t length, uint64_t remote, uint32_t rkey)
{
	long status = 0;
	if (slow) {
		status = misbehave();
		if (status >= 0 && fault_kind == POST) return (int)fault_number;
		if (status >= 0 && fault_kind == STALL) return 0;
		if (status < 0) status = 0;
	}
	if (what == IBV_WR_SEND) {
		if (!status) status = deliver(p, data, length);
	} else if (moves_bytes && !status) {
		char *far = reach(remote, rkey);
		if (what == IBV_WR_RDMA_READ) memcpy(data, far, length);
		else memcpy(far, data, length);
		if (fault_kind == FLIP) (what == IBV_WR_RDMA_READ ? data : far)[length / 2] ^= 0x10;
	}
	if ((flags & IBV_SEND_SIGNALED) || status || p->init.sq_sig_all) {
		int opcode = what == IBV_WR_RDMA_READ ? IBV_WC_RDMA_READ : what == IBV_WR_SEND ? IBV_WC_SEND : IBV_WC_RDMA_WRITE;
		complete((struct queue *)p->ex.qp_base.send_cq, wr_id, (int)status, opcode, length, p->ex.qp_base.qp_num);
	}
	return 0;
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	for (; wr; wr = wr->next) {
		int failed = carry_out((struct pair *)qp, wr->opcode, wr->wr_id, wr->send_flags, (char *)wr->sg_list->addr,
				       wr->sg_list->length, wr->wr.rdma.remote_addr, wr->wr.rdma.rkey);
		if (failed) { *bad = wr; return failed; }
	}
	return 0;
}

/* the same by ibv_wr_*, which is what perftest uses */
static void wr_start(struct ibv_qp_ex *qp) {}
static int wr_complete(struct ibv_qp_ex *qp) { return 0; }
static void wr_abort(struct ibv_qp_ex *qp) {}

static inline void wr_next(struct ibv_qp_ex *qp, enum ibv_wr_opcode opcode, uint32_t rkey, uint64_t addr)
{
	struct pair *p = (struct pair *)qp;
	p->next_opcode = opcode;
	p->next_rkey = rkey;
	p->next_addr = addr;
}

static void wr_rdma_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t addr) { wr_next(qp, IBV_WR_RDMA_WRITE, rkey, addr); }
static void wr_rdma_read(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t addr) { wr_next(qp, IBV_WR_RDMA_READ, rkey, addr); }
static void wr_send(struct ibv_qp_ex *qp) { wr_next(qp, IBV_WR_SEND, 0, 0); }

static void wr_set_sge(struct ibv_qp_ex *qp, uint32_t lkey, uint64_t addr, uint32_t length)
{
	struct pair *p = (struct pair *)qp;
	carry_out(p, p->next_opcode, qp->wr_id, qp->wr_flags, (char *)addr, length, p->next_addr, p->next_rkey);
}

static void wr_set_inline_data(struct ibv_qp_ex *qp, void *data, size_t length)
{
	wr_set_sge(qp, 0, (uint64_t)data, length);
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct pair *p = (struct pair *)qp;
	for (; wr; wr = wr->next) {
		if (p->head - p->tail > p->mask) { *bad = wr; return ENOMEM; }
		p->receives[p->head++ & p->mask] = (struct receive){ wr->wr_id, wr->sg_list->addr, wr->sg_list->length };
	}
	return 0;
}

static struct ibv_qp *make_pair(struct ibv_context *c, struct ibv_pd *pd, struct ibv_qp_init_attr *a)
{
	struct pair *p;
	struct ibv_qp *qp;
	uint32_t n = 1;
	if (next_pair >= MAX_QPS || a->cap.max_send_wr > max_wr) { errno = EINVAL; return NULL; }
	p = calloc(1, sizeof *p);
	while (n < a->cap.max_recv_wr) n <<= 1;
	p->receives = calloc(n, sizeof *p->receives);
	p->mask = n - 1;
	p->init = *a;
	qp = &p->ex.qp_base;
	qp->context = c; qp->pd = pd; qp->send_cq = a->send_cq; qp->recv_cq = a->recv_cq; qp->qp_type = a->qp_type;
	qp->state = IBV_QPS_RESET;
	qp->qp_num = qp->handle = FIRST_QPN + next_pair;
	pthread_mutex_init(&qp->mutex, NULL);
	pthread_cond_init(&qp->cond, NULL);
	p->ex.wr_start = wr_start; p->ex.wr_complete = wr_complete; p->ex.wr_abort = wr_abort;
	p->ex.wr_rdma_write = wr_rdma_write; p->ex.wr_rdma_read = wr_rdma_read; p->ex.wr_send = wr_send;
	p->ex.wr_set_sge = wr_set_sge; p->ex.wr_set_inline_data = wr_set_inline_data;
	pairs[next_pair++] = p;
	return qp;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *a) { return make_pair(pd->context, pd, a); }
static struct ibv_qp *create_qp_ex(struct ibv_context *c, struct ibv_qp_init_attr_ex *a)
{
	return make_pair(c, a->pd, (struct ibv_qp_init_attr *)a);
}
struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *qp) { return (struct ibv_qp_ex *)qp; }

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask)
{
	if (mask & IBV_QP_STATE) qp->state = a->qp_state;
	if (mask & IBV_QP_DEST_QPN) ((struct pair *)qp)->peer = a->dest_qp_num;
	return 0;
}

int ibv_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask, struct ibv_qp_init_attr *i)
{
	memset(a, 0, sizeof *a);
	a->qp_state = qp->state;
	*i = ((struct pair *)qp)->init;
	return 0;
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
	struct pair *p = (struct pair *)qp;
	pairs[qp->qp_num - FIRST_QPN] = NULL;
	free(p->receives);
	free(p);
	return 0;
}

/* ---- opening ---- */

struct ibv_context *ibv_open_device(struct ibv_device *d)
{
	struct verbs_context *v;
	struct ibv_context *c;
	int ends[2];
	if ((errno = (int)number("FAKE_OPEN", 0))) return NULL;
	if (pipe(ends)) return NULL;
	v = calloc(1, sizeof *v);
	c = &v->context;
	v->sz = sizeof *v; v->query_port = query_port; v->create_qp_ex = create_qp_ex;
	if (!no_cq_ex) v->create_cq_ex = create_cq_ex;
	c->abi_compat = __VERBS_ABI_IS_EXTENDED;
	c->device = d; c->cmd_fd = ends[0]; c->async_fd = ends[1]; c->num_comp_vectors = 1;
	c->ops.poll_cq = poll_cq; c->ops.req_notify_cq = req_notify; c->ops.post_send = post_send; c->ops.post_recv = post_recv;
	pthread_mutex_init(&c->mutex, NULL);
	return c;
}

int ibv_close_device(struct ibv_context *c)
{
	close(c->cmd_fd);
	close(c->async_fd);
	free((char *)c - offsetof(struct verbs_context, context));
	return 0;
}
