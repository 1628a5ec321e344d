/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer.c - device and cloud for the tests: many flows at once, every byte of which both ends know
 *
 * Theory of operation
 *	The client makes a plan for each flow and sends it first (struct plan): a seed, how many bytes go each way,
 *	who waits for whose FIN, who resets and after how many bytes. From then on both ends send at
 *	once, in random pieces with random pauses. A direction's stream is a function of seed, direction and
 *	offset, so each end checks every byte at the place where it belongs, whatever way it came.
 *
 *	A flow is good when it ended as its plan says: after the planned bytes with a FIN, or, where a
 *	side resets, with a reset after a prefix of what was sent ("clean" resets come when the sender's kernel
 *	has had everything acknowledged: then nothing of it may be missing).
 *
 * One line of JSON on standard output at the end; exit status 0 if every flow was good.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x3152454550534e53)
#define NSEC INT64_C(1000000000)

enum side { CLIENT, SERVER };
enum order { ORDER_FREE, ORDER_SERVER_WAITS, ORDER_CLIENT_WAITS, ORDER_COUNT };
enum { BUFFER = 256 * 1024, SOURCES_MAX = 16, CONNECTING_MAX = 128, TURNS = 4, TICK_MS = 2 };

struct plan {
	uint64_t magic, seed;
	uint64_t total[2];	/* bytes of each side's stream */
	uint64_t reset_at;	/* the resetting side sends so many, then resets */
	uint8_t resets;		/* 0: nobody, else 1 + enum side */
	uint8_t clean;		/* the reset waits until all was acknowledged */
	uint8_t order;
	uint64_t check;
};

enum error {
	GOOD, REFUSED, UNREACHABLE, TIMED_OUT, OTHER, CONNECT_RESET, UNEXPECTED_RESET, SHORT, EOF_FOR_RESET, TOO_MUCH,
	MISMATCH, NO_PLAN, UNFINISHED, ERRORS,
};
static const char *const error_names[ERRORS] = {
	"good", "refused", "unreachable", "timed_out", "other", "connect_reset", "unexpected_reset", "short",
	"eof_for_reset", "too_much", "mismatch", "no_plan", "unfinished",
};

enum state { FREE, CONNECTING, OPEN };

struct flow {
	int fd;
	enum state state;
	uint32_t interest;
	struct plan plan;
	size_t plan_bytes;		/* sent or received of it */
	uint64_t sent, received;	/* of the streams */
	bool fin_sent, eof, reset_seen;
	int64_t send_again, read_again;	/* not before; 0: at once */
	int64_t read_since;
	uint64_t read_credit_used;
};

static struct {
	enum side side;
	struct sockaddr_storage address, sources[SOURCES_MAX];
	socklen_t address_length;
	size_t source_count;
	unsigned flows, parallel, resets;
	uint64_t bytes[2], chunk, read_rate, seed;
	bool exact, barrier, keep_order;
	double pause_ms, timeout, hold;
	int rcvbuf, sndbuf;
} opt = {
	.flows = 1, .bytes = { 100000, 100000 }, .chunk = 16384, .timeout = 30, .seed = 1,
};

static struct flow *flows;
static int epoll_fd = -1, listener = -1;
static unsigned started, running, connecting, connected, done, slots;
static uint64_t errors[ERRORS], sent_bytes, received_bytes, resets_sent, resets_seen;
static int64_t began, hold_until;
static volatile sig_atomic_t told_to_stop;
static uint64_t random_state;

/* ---------------------------------------------------------------- numbers */
static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NSEC + t.tv_nsec;
}

static uint64_t mix(uint64_t x)		/* splitmix64 */
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t draw(void)
{
	return mix(random_state++);
}

/* 1 … most, small ones as likely as big ones. */
static uint64_t draw_size(uint64_t most)
{
	unsigned bits = 0;
	uint64_t v;

	while (most >> bits > 1)
		bits++;
	v = (draw() & ((UINT64_C(2) << draw() % (bits + 1)) - 1)) + 1;
	return v > most ? most : v;
}

/* The bytes of a stream from offset on. */
static void stream(const struct plan *p, enum side side, uint64_t offset, uint8_t *out, size_t length)
{
	uint64_t key = mix(p->seed ^ (uint64_t)side << 63);
	size_t i = 0;

	for (; i < length && (offset + i) & 7; i++)
		out[i] = (uint8_t)(mix(key + ((offset + i) >> 3)) >> ((offset + i) & 7) * 8);
	for (; i + 8 <= length; i += 8) {
		uint64_t word = mix(key + ((offset + i) >> 3));

		memcpy(out + i, &word, 8);
	}
	for (; i < length; i++)
		out[i] = (uint8_t)(mix(key + ((offset + i) >> 3)) >> ((offset + i) & 7) * 8);
}

static uint64_t plan_check(const struct plan *p)
{
	return mix(p->seed ^ mix(p->total[0] ^ mix(p->total[1] ^ mix(p->reset_at ^ p->resets ^ (uint64_t)p->clean << 8 ^
		   (uint64_t)p->order << 16))));
}

static void make_plan(struct plan *p, uint64_t seed)
{
	*p = (struct plan){ .magic = MAGIC, .seed = seed };
	for (enum side s = CLIENT; s <= SERVER; s++)
		p->total[s] = opt.exact || opt.bytes[s] == 0 ? opt.bytes[s] : draw_size(opt.bytes[s]);
	if (draw() % 100 < opt.resets) {
		p->resets = (uint8_t)(1 + draw() % 2);
		p->clean = draw() % 2;
		p->reset_at = draw() % (p->total[p->resets - 1] + 1);
	} else if (!opt.keep_order) {
		p->order = (uint8_t)(draw() % ORDER_COUNT);
	}
	p->check = plan_check(p);
}

/* ---------------------------------------------------------------- flows */
static void want(struct flow *f, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u32 = (uint32_t)(f - flows) };

	if (f->interest == events)
		return;
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, f->fd, &e);
	f->interest = events;
}

static void end(struct flow *f, enum error error)
{
	close(f->fd);
	if (f->state == CONNECTING)
		connecting--;
	f->state = FREE;
	errors[error]++;
	sent_bytes += f->sent;
	received_bytes += f->received;
	running--;
	done++;
}

static void reset(struct flow *f)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	resets_sent++;
	end(f, GOOD);
}

static enum side me(void)
{
	return opt.side;
}

static enum side peer(void)
{
	return opt.side == CLIENT ? SERVER : CLIENT;
}

static bool i_reset(const struct flow *f)
{
	return f->plan.resets == 1 + (int)me();
}

static bool peer_resets(const struct flow *f)
{
	return f->plan.resets == 1 + (int)peer();
}

static bool plan_known(const struct flow *f)
{
	return f->plan_bytes == sizeof(f->plan);
}

/* How far this side may send at the moment. */
static uint64_t send_limit(const struct flow *f)
{
	const struct plan *p = &f->plan;
	uint64_t total = i_reset(f) ? p->reset_at : p->total[me()];

	if (((p->order == ORDER_SERVER_WAITS && me() == SERVER) || (p->order == ORDER_CLIENT_WAITS && me() == CLIENT)) && !f->eof)
		return total / 2;
	return total;
}

static bool all_sent(const struct flow *f)
{
	const struct plan *p = &f->plan;

	return f->sent == (i_reset(f) ? p->reset_at : p->total[me()]) && f->sent == send_limit(f);
}

static void finish(struct flow *f)
{
	const struct plan *p = &f->plan;
	enum error e = GOOD;

	if (!plan_known(f)) {
		e = f->reset_seen && opt.side == CLIENT ? UNEXPECTED_RESET : NO_PLAN;
	} else if (f->reset_seen) {
		resets_seen++;
		if (!peer_resets(f))
			e = UNEXPECTED_RESET;
		else if (p->clean && f->received < p->reset_at)
			e = SHORT;
	} else if (peer_resets(f)) {
		e = EOF_FOR_RESET;
	} else if (f->received < p->total[peer()]) {
		e = SHORT;
	}
	end(f, e);
}

/* ---------------------------------------------------------------- sending and receiving */
static void failed_to_send(struct flow *f)
{
	/* what came before the reset is still to be read, and may end in a plain 0 as we have taken the error */
	f->reset_seen = true;
}

static ssize_t send_piece(struct flow *f)
{
	static uint8_t buffer[BUFFER];
	uint64_t left = send_limit(f) - f->sent, size = left < opt.chunk ? left : draw_size(opt.chunk);
	ssize_t n;

	if (size > left)
		size = left;
	stream(&f->plan, me(), f->sent, buffer, size);
	n = send(f->fd, buffer, size, MSG_NOSIGNAL);
	if (n > 0)
		f->sent += (uint64_t)n;
	return n;
}

static void do_send(struct flow *f)
{
	for (int turn = 0; turn < TURNS && f->state == OPEN; turn++) {
		if (opt.side == CLIENT && !plan_known(f)) {
			ssize_t n = send(f->fd, (uint8_t *)&f->plan + f->plan_bytes, sizeof(f->plan) - f->plan_bytes, MSG_NOSIGNAL);

			if (n > 0)
				f->plan_bytes += (size_t)n;
			else if (errno != EAGAIN)
				failed_to_send(f);
			return;
		}
		if (!plan_known(f) || f->reset_seen || f->fin_sent || f->sent == send_limit(f))
			return;
		if (send_piece(f) < 0) {
			if (errno != EAGAIN)
				failed_to_send(f);
			return;
		}
		if (opt.pause_ms > 0 && draw() % 8 == 0) {
			f->send_again = now() + (int64_t)((double)(draw() % 1000) * opt.pause_ms * 1000);
			return;
		}
	}
}

static size_t read_size(struct flow *f)
{
	uint64_t most = BUFFER;

	if (opt.read_rate) {
		int64_t t = now();
		uint64_t allowed;

		if (!f->read_since)
			f->read_since = t;
		allowed = (uint64_t)((double)(t - f->read_since) / 1e9 * (double)opt.read_rate) + 1;
		if (allowed <= f->read_credit_used) {
			f->read_again = t + 10 * 1000 * 1000;
			return 0;
		}
		most = allowed - f->read_credit_used < most ? allowed - f->read_credit_used : most;
	}
	return plan_known(f) ? draw_size(most) : most;
}

static bool take_plan(struct flow *f)
{
	ssize_t n = recv(f->fd, (uint8_t *)&f->plan + f->plan_bytes, sizeof(f->plan) - f->plan_bytes, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		f->reset_seen = n < 0;
		end(f, NO_PLAN);
		return false;
	}
	if (n < 0)
		return false;
	f->plan_bytes += (size_t)n;
	if (!plan_known(f))
		return false;
	if (f->plan.magic != MAGIC || f->plan.check != plan_check(&f->plan)) {
		end(f, MISMATCH);
		return false;
	}
	return true;
}

static void do_receive(struct flow *f)
{
	static uint8_t buffer[BUFFER], expected[BUFFER];

	if (opt.side == SERVER && !plan_known(f) && !take_plan(f))
		return;
	for (int turn = 0; turn < TURNS && f->state == OPEN && !f->eof; turn++) {
		size_t size = read_size(f);
		ssize_t n;

		if (size == 0)
			return;
		n = recv(f->fd, buffer, size, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != ECONNRESET && errno != EPIPE) {
			end(f, errno == ETIMEDOUT ? TIMED_OUT : OTHER);
			return;
		}
		if (n < 0 || (n == 0 && f->reset_seen)) {
			f->reset_seen = true;
			finish(f);
			return;
		}
		if (n == 0) {
			f->eof = true;
			return;
		}
		f->read_credit_used += (uint64_t)n;
		if (f->received + (uint64_t)n > f->plan.total[peer()]) {
			end(f, TOO_MUCH);
			return;
		}
		stream(&f->plan, peer(), f->received, expected, (size_t)n);
		if (memcmp(buffer, expected, (size_t)n) != 0) {
			end(f, MISMATCH);
			return;
		}
		f->received += (uint64_t)n;
	}
}

/* What follows from the bytes that have passed, and what to wait for next. */
static void settle(struct flow *f)
{
	bool may_start = !opt.barrier || (connected == opt.flows && now() >= hold_until);
	uint32_t events = 0;

	if (f->state != OPEN)
		return;
	if (plan_known(f) && !f->reset_seen && !f->fin_sent && all_sent(f)) {
		int unacknowledged = 0;

		if (i_reset(f)) {
			if (f->plan.clean && ioctl(f->fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0)
				f->send_again = now() + TICK_MS * 1000 * 1000;
			else
				reset(f);
			if (f->state != OPEN)
				return;
		} else {
			shutdown(f->fd, SHUT_WR);
			f->fin_sent = true;
		}
	}
	if (f->eof && (f->fin_sent || f->reset_seen)) {
		finish(f);
		return;
	}
	if (f->eof && peer_resets(f)) {
		end(f, EOF_FOR_RESET);
		return;
	}
	if (!f->eof && !f->read_again)
		events |= EPOLLIN;
	if (!f->reset_seen && !f->fin_sent && !f->send_again && may_start &&
	    (plan_known(f) ? f->sent < send_limit(f) : opt.side == CLIENT))
		events |= EPOLLOUT;
	want(f, events);
}

/* ---------------------------------------------------------------- opening */
static void tune(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (opt.rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &opt.rcvbuf, sizeof(opt.rcvbuf));
	if (opt.sndbuf)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &opt.sndbuf, sizeof(opt.sndbuf));
}

static struct flow *new_flow(int fd, enum state state)
{
	struct epoll_event e = { .events = state == CONNECTING ? EPOLLOUT : EPOLLIN };
	struct flow *f = flows;

	while (f < flows + slots && f->state != FREE)
		f++;
	*f = (struct flow){ .fd = fd, .state = state, .interest = e.events };
	e.data.u32 = (uint32_t)(f - flows);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
	running++;
	return f;
}

static enum error connect_error(int e)
{
	switch (e) {
	case ECONNREFUSED:
		return REFUSED;
	case ECONNRESET:
		return CONNECT_RESET;
	case EHOSTUNREACH:
	case ENETUNREACH:
		return UNREACHABLE;
	case ETIMEDOUT:
		return TIMED_OUT;
	default:
		return OTHER;
	}
}

static void open_flow(void)
{
	int fd = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct flow *f;

	if (fd < 0) {
		perror("peer: socket");
		exit(2);
	}
	tune(fd);
	if (opt.source_count) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&opt.sources[started % opt.source_count], opt.address_length) < 0) {
			perror("peer: --source");
			exit(2);
		}
	}
	started++;
	connecting++;
	f = new_flow(fd, CONNECTING);
	make_plan(&f->plan, mix(opt.seed << 32 ^ started));
	if (connect(fd, (struct sockaddr *)&opt.address, opt.address_length) < 0 && errno != EINPROGRESS)
		end(f, connect_error(errno));
}

static void on_connected(struct flow *f)
{
	socklen_t length = sizeof(int);
	int e = 0;

	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &e, &length);
	if (e) {
		end(f, connect_error(e));
		return;
	}
	connecting--;
	f->state = OPEN;
	if (++connected == opt.flows && opt.barrier) {
		hold_until = now() + (int64_t)(opt.hold * 1e9);
		printf("connected %u\n", connected);
		fflush(stdout);
	}
}

static void accept_flows(void)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (running == slots) {
			close(fd);
			continue;
		}
		tune(fd);
		started++;
		new_flow(fd, OPEN);
	}
}

static void open_listener(void)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = UINT32_MAX };
	int one = 1;

	listener = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (opt.address.ss_family == AF_INET6)
		setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (opt.rcvbuf)
		setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &opt.rcvbuf, sizeof(opt.rcvbuf));
	if (bind(listener, (struct sockaddr *)&opt.address, opt.address_length) < 0 || listen(listener, 4096) < 0) {
		perror("peer: listen");
		exit(2);
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
	puts("listening");
	fflush(stdout);
}

/* ---------------------------------------------------------------- the loop */
/* Flows whose pause is over, and what depends on the clock or on other flows. Returns whether anybody waits. */
static bool wake(void)
{
	static bool was_held;
	int64_t t = now();
	bool waits = opt.barrier && (connected < opt.flows || t < hold_until), released = was_held && !waits;

	was_held = waits;
	for (struct flow *f = flows; f < flows + slots; f++) {
		if (f->state != OPEN)
			continue;
		if ((f->send_again && f->send_again <= t) || (f->read_again && f->read_again <= t) || released) {
			if (f->send_again <= t)
				f->send_again = 0;
			if (f->read_again <= t)
				f->read_again = 0;
			settle(f);
		}
		waits |= f->state == OPEN && (f->send_again || f->read_again);
	}
	return waits;
}

static void on_event(const struct epoll_event *e)
{
	struct flow *f = &flows[e->data.u32];

	if (f->state == CONNECTING)
		on_connected(f);
	else if (f->state == OPEN && (e->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && !f->read_again)
		do_receive(f);
	if (f->state == OPEN && (e->events & EPOLLOUT) && f->interest & EPOLLOUT)
		do_send(f);
	settle(f);
}

static void loop(void)
{
	int64_t deadline = began + (int64_t)(opt.timeout * 1e9);

	while (!told_to_stop && now() < deadline && !(opt.flows && done == opt.flows)) {
		struct epoll_event events[256];
		int n;

		while (opt.side == CLIENT && started < opt.flows && running < opt.parallel && connecting < CONNECTING_MAX)
			open_flow();
		n = epoll_wait(epoll_fd, events, 256, wake() ? TICK_MS : 100);
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == UINT32_MAX)
				accept_flows();
			else
				on_event(&events[i]);
		}
	}
	/* a server is told to stop when its client has ended: what is still on its way gets a moment */
	for (int i = 0; told_to_stop && i < 200 && running; i++) {
		struct epoll_event events[256];
		int n = epoll_wait(epoll_fd, events, 256, 10);

		wake();
		for (int k = 0; k < n; k++)
			if (events[k].data.u32 != UINT32_MAX)
				on_event(&events[k]);
	}
	for (struct flow *f = flows; f < flows + slots; f++) {
		if (f->state == FREE)
			continue;
		fprintf(stderr, "peer: unfinished: seed %" PRIu64 " sent %" PRIu64 "/%" PRIu64 " received %" PRIu64 "/%" PRIu64
			" fin %d eof %d reset %d plan %zu resets %d at %" PRIu64 " order %d\n", f->plan.seed, f->sent,
			f->plan.total[me()], f->received, f->plan.total[peer()], f->fin_sent, f->eof, f->reset_seen,
			f->plan_bytes, f->plan.resets, f->plan.reset_at, f->plan.order);
		end(f, UNFINISHED);
	}
}

static int report(void)
{
	uint64_t bad = 0;
	const char *comma = "";

	for (enum error e = GOOD + 1; e < ERRORS; e++)
		bad += errors[e];
	printf("{\"role\":\"%s\",\"flows\":%u,\"ok\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"received\":%" PRIu64
	       ",\"mismatches\":%" PRIu64 ",\"resets_sent\":%" PRIu64 ",\"resets_seen\":%" PRIu64 ",\"seconds\":%.3f",
	       opt.side == CLIENT ? "client" : "server", started, errors[GOOD], bad, sent_bytes, received_bytes,
	       errors[MISMATCH], resets_sent, resets_seen, (double)(now() - began) / 1e9);
	printf(",\"errors\":{");
	for (enum error e = GOOD + 1; e < ERRORS; e++)
		if (errors[e]) {
			printf("%s\"%s\":%" PRIu64, comma, error_names[e], errors[e]);
			comma = ",";
		}
	puts("}}");
	return bad || (opt.side == CLIENT && done < opt.flows) ? 1 : 0;
}

/* ---------------------------------------------------------------- options */
static void usage(FILE *out)
{
	fputs("usage: peer server|client [option...] ADDRESS PORT\n"
	      "  --flows N        so many flows, then end (server: 0 = until SIGTERM)\n"
	      "  --parallel N     at most so many at once (client; default: all)\n"
	      "  --bytes N        most bytes of a flow, each way (--up N, --down N: one way; client)\n"
	      "  --exact          exactly so many, not a random part of it\n"
	      "  --resets PERCENT of the flows are reset by one side at a random byte (client)\n"
	      "  --plain          nobody waits for the other's FIN (client)\n"
	      "  --barrier        nobody sends before all are connected (client); --hold SECONDS: and then so long\n"
	      "  --chunk N        most bytes of a write; --pause MS: longest pause of a sender\n"
	      "  --read-rate N    bytes a second of each flow; --rcvbuf N, --sndbuf N\n"
	      "  --source ADDRESS of the client, may be repeated; --seed N; --timeout SECONDS\n", out);
}

static socklen_t parse_address(const char *host, const char *port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(port));
		return sizeof(*in6);
	}
	fprintf(stderr, "peer: %s is not an address\n", host);
	exit(2);
}

static void on_signal(int signal)
{
	told_to_stop = signal;
}

static void parse_options(int argc, char **argv)
{
	enum { FLOWS = 256, PARALLEL, BYTES, UP, DOWN, EXACT, RESETS, PLAIN, BARRIER, HOLD, CHUNK, PAUSE,
	       READ_RATE, RCVBUF, SNDBUF, SOURCE, SEED, TIMEOUT };
	static const struct option options[] = {
		{ "flows", 1, NULL, FLOWS }, { "parallel", 1, NULL, PARALLEL }, { "bytes", 1, NULL, BYTES }, { "up", 1, NULL, UP },
		{ "down", 1, NULL, DOWN }, { "exact", 0, NULL, EXACT }, { "resets", 1, NULL, RESETS }, { "plain", 0, NULL, PLAIN },
		{ "barrier", 0, NULL, BARRIER }, { "hold", 1, NULL, HOLD }, { "chunk", 1, NULL, CHUNK }, { "pause", 1, NULL, PAUSE },
		{ "read-rate", 1, NULL, READ_RATE }, { "rcvbuf", 1, NULL, RCVBUF }, { "sndbuf", 1, NULL, SNDBUF },
		{ "source", 1, NULL, SOURCE }, { "seed", 1, NULL, SEED }, { "timeout", 1, NULL, TIMEOUT }, { 0 },
	};
	bool flows_given = false;
	int o;

	if (argc < 2 || (strcmp(argv[1], "server") != 0 && strcmp(argv[1], "client") != 0)) {
		usage(stderr);
		exit(2);
	}
	opt.side = strcmp(argv[1], "client") == 0 ? CLIENT : SERVER;
	argc--, argv++;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned long long number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (o) {
		case FLOWS: opt.flows = (unsigned)number; flows_given = true; break;
		case PARALLEL: opt.parallel = (unsigned)number; break;
		case BYTES: opt.bytes[CLIENT] = opt.bytes[SERVER] = number; break;
		case UP: opt.bytes[CLIENT] = number; break;
		case DOWN: opt.bytes[SERVER] = number; break;
		case EXACT: opt.exact = true; break;
		case RESETS: opt.resets = (unsigned)number; break;
		case PLAIN: opt.keep_order = true; break;
		case BARRIER: opt.barrier = true; break;
		case HOLD: opt.hold = atof(optarg); break;
		case CHUNK: opt.chunk = number > BUFFER ? BUFFER : number; break;
		case PAUSE: opt.pause_ms = atof(optarg); break;
		case READ_RATE: opt.read_rate = number; break;
		case RCVBUF: opt.rcvbuf = (int)number; break;
		case SNDBUF: opt.sndbuf = (int)number; break;
		case SOURCE:
			if (opt.source_count < SOURCES_MAX)
				parse_address(optarg, "0", &opt.sources[opt.source_count++]);
			break;
		case SEED: opt.seed = number; break;
		case TIMEOUT: opt.timeout = atof(optarg); break;
		default: usage(stderr); exit(2);
		}
	}
	if (argc - optind != 2 || opt.chunk == 0) {
		usage(stderr);
		exit(2);
	}
	opt.address_length = parse_address(argv[optind], argv[optind + 1], &opt.address);
	if (opt.side == SERVER && !flows_given)
		opt.flows = 0;
	if (!opt.parallel || opt.barrier)
		opt.parallel = opt.flows;
}

int main(int argc, char **argv)
{
	struct rlimit files;

	parse_options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	random_state = mix(opt.seed);
	slots = opt.side == CLIENT ? opt.parallel : opt.flows ? opt.flows : (unsigned)(files.rlim_cur > 20000 ? 20000 : files.rlim_cur);
	flows = calloc(slots + 1, sizeof(*flows));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!flows || epoll_fd < 0) {
		perror("peer");
		return 2;
	}
	if (opt.side == SERVER)
		open_listener();
	began = now();
	loop();
	return report();
}
