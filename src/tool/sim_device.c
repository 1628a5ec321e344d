/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_device.c - suntap sim device: connects, speaks, waits for answers, keeps what was not answered
 *
 *	hello …, live record, kept records, (pause, heartbeat, pause, live record, kept records) …
 *
 * One message is under way at a time. Without an answer it is repeated; after three the connection is
 * given up, and the record is kept and sent as a stored one over the next, as devices do.
 */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocols/reading_fill.h"
#include "tool/output.h"
#include "tool/sim_options.h"

/* Kept records end so many before the present: what is a few minutes old may as well be late. */
enum { KEPT_AGE = 4, KEPT_MAX = 1000, TRIES = 3, RECONNECT_MS = 1000, CONNECT_TRIES = 10 };

#define RECORD_S 300		/* what a record's moment is after the last one's, for the sun */
#define RECORD_MS (INT64_C(1000) * RECORD_S)

struct kept {
	int64_t utc_ms;
	double sun;
};

struct sim {
	struct sim_options *o;
	struct sim_device device;
	int fd;
	struct session *session;
	bool answered, replied;
	struct sim_frame reply;
	unsigned int sent;		/* frames, on this connection */
	uint64_t records;		/* live ones that were answered */
	double sun;			/* s, of the sun's clock, at the next record */
	int64_t last_ms;		/* moment of the last record */
	int64_t virtual_ms;		/* transcripts do not wait: time that was waited, added to real time */
	struct kept kept[KEPT_MAX];
	size_t kept_count;
	struct output truth;
	char expected[256 * 1024];	/* transcript: what a decoder must find */
	size_t expected_length;
};

enum result { DONE, LOST };		/* LOST: connection is gone, or was given up */

static int64_t now_ms(const struct sim *s)
{
	return now_realtime() / NSEC_PER_MSEC + s->virtual_ms;
}

/* ------------------------------------------------ what comes back */
static void on_frame(void *ctx, const struct frame_info *f)
{
	struct sim *s = ctx;
	struct sim_frame reply = { .length = 0 };

	if (f->error || f->dir != DIR_CLOUD || f->carrier)
		return;
	s->device.now_ms = now_ms(s);
	s->answered |= s->o->protocol->take(&s->device, f->bytes, f->size, &reply);
	if (reply.length) {
		s->reply = reply;
		s->replied = true;
	}
}

static const struct session_events events = { .frame = on_frame };

/* Waits for bytes; false: none in time. LOST through s->fd = -1. */
static void drop(struct sim *s, bool reset)
{
	if (s->fd < 0)
		return;
	if (reset)
		sim_reset(s->fd);
	else
		close(s->fd);
	s->fd = -1;
}

static void receive(struct sim *s, int64_t until)
{
	uint8_t bytes[8192];
	int64_t left = (until - now_monotonic()) / NSEC_PER_MSEC + 1;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, left < 0 ? 0 : (int)left) <= 0)
		return;
	n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n > 0) {
		session_feed(s->session, DIR_CLOUD, bytes, (size_t)n, now_realtime());
		if (s->replied) {
			s->replied = false;
			if (sim_send(s->o, s->fd, DIR_DEVICE, &s->reply) < 0)
				drop(s, false);
		}
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		drop(s, false);
	}
}

static void pause_for(struct sim *s, double seconds)
{
	int64_t until = now_monotonic() + (int64_t)(seconds * 1e9);

	if (s->o->transcript) {
		s->virtual_ms += (int64_t)(seconds * 1000);
		return;
	}
	while (s->fd >= 0 && now_monotonic() < until)
		receive(s, until);
}

/* ------------------------------------------------ what goes out */
static void expect(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void expect(struct sim *s, const char *format, ...)
{
	size_t room = sizeof(s->expected) - s->expected_length;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(s->expected + s->expected_length, room, format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room)
		s->expected_length += (size_t)n;
}

static enum result transcribe(struct sim *s, const struct sim_frame *f, bool good)
{
	struct sim_frame a = { .length = 0 }, reply = { .length = 0 };

	sim_transcribe(s->o, DIR_DEVICE, f);
	expect(s, "frame > %s\n", good ? "ok" : "bad checksum");
	if (good && !s->o->silence && s->o->protocol->answer(f->bytes, f->length, now_ms(s), &a)) {
		sim_transcribe(s->o, DIR_CLOUD, &a);
		expect(s, "frame < ok\n");
		s->device.now_ms = now_ms(s);
		s->o->protocol->take(&s->device, a.bytes, a.length, &reply);
		a.length = 0;
		if (s->o->protocol->then && s->o->protocol->then(f->bytes, f->length, now_ms(s), &a)) {
			sim_transcribe(s->o, DIR_CLOUD, &a);
			expect(s, "frame < ok\n");
			s->o->protocol->take(&s->device, a.bytes, a.length, &reply);
		}
		if (reply.length) {
			sim_transcribe(s->o, DIR_DEVICE, &reply);
			expect(s, "frame > ok\n");
		}
	}
	return DONE;
}

static enum result send_frame(struct sim *s, const struct sim_frame *f)
{
	if (s->o->reset_after && s->sent >= s->o->reset_after) {
		drop(s, true);
		return LOST;
	}
	if (sim_send(s->o, s->fd, DIR_DEVICE, f) < 0) {
		drop(s, false);
		return LOST;
	}
	s->sent++;
	return DONE;
}

static enum result exchange(struct sim *s, const struct sim_frame *f)
{
	if (s->o->transcript)
		return transcribe(s, f, true);
	s->answered = false;
	for (int i = 0; i < TRIES && s->fd >= 0; i++) {
		int64_t until = now_monotonic() + (int64_t)(s->o->timeout * 1e9);

		if (send_frame(s, f) == LOST)
			return LOST;
		while (s->fd >= 0 && !s->answered && now_monotonic() < until)
			receive(s, until);
		if (s->answered)
			return DONE;
	}
	if (s->fd >= 0)
		fprintf(stderr, "suntap: no answer from %s\n", s->o->address_text);
	drop(s, false);
	return LOST;
}

static void tell_expected(struct sim *s, const struct reading *r)
{
	char text[40];
	time_t t = (time_t)(r->time_ms / 1000);
	struct tm tm;

	expect(s, "\nserial = %s\n", r->serial);
	if (*r->logger)
		expect(s, "logger = %s\n", r->logger);
	if (r->time_kind != TIME_NONE && gmtime_r(&t, &tm)) {
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		if (r->time_kind == TIME_IN_UTC)
			expect(s, "time = %sZ\n", text);
		else if (r->time_ms % 1000)
			expect(s, "time = %s.%03d local\n", text, (int)(r->time_ms % 1000));
		else
			expect(s, "time = %s local\n", text);
	}
	for (size_t i = 0; i < r->count; i++) {
		const struct value *v = &r->values[i];

		if (v->type == VALUE_NUMBER)
			number_format(v->number, text);
		expect(s, "%s = %s\n", v->name, v->type == VALUE_NUMBER ? text : v->text);
	}
}

static void tell_truth(struct sim *s, const struct reading *r)
{
	const struct value *power = reading_find(r, "ac_power");
	char number[24] = "?";

	if (s->o->transcript) {
		tell_expected(s, r);
		return;
	}
	if (s->o->json) {
		output_events.reading(&s->truth, r);
		return;
	}
	if (power)
		number_format(power->number, number);
	printf("%s record of %s: %s W\n", r->historic ? "stored" : "live", *r->serial ? r->serial : r->logger, number);
}

static enum result record(struct sim *s, int64_t utc_ms, double sun, bool stored)
{
	static struct reading truth, second;
	struct sim_day day;
	const struct sim_moment m = { .utc_ms = utc_ms, .stored = stored, .day = &day };
	struct sim_frame f = { .length = 0 }, bad;

	sim_day_at(&day, sun);
	reading_start(&truth, s->o->protocol->name, 0);
	reading_start(&second, s->o->protocol->name, 0);
	s->device.now_ms = now_ms(s);
	s->o->protocol->record(&s->device, &m, &f, &truth, &second);
	if (s->o->bad_checksum) {
		bad = f;
		sim_spoil(s->o->protocol, &bad);
		if ((s->o->transcript ? transcribe(s, &bad, false) : send_frame(s, &bad)) == LOST)
			return LOST;
	}
	tell_truth(s, &truth);
	if (second.count)
		tell_truth(s, &second);
	return exchange(s, &f);
}

static void keep(struct sim *s, int64_t utc_ms, double sun)
{
	if (s->o->protocol->stored && s->kept_count < KEPT_MAX)
		s->kept[s->kept_count++] = (struct kept){ utc_ms, sun };
}

static enum result send_kept(struct sim *s)
{
	while (s->kept_count) {
		if (record(s, s->kept[0].utc_ms, s->kept[0].sun, true) == LOST)
			return LOST;
		s->kept_count--;
		memmove(s->kept, s->kept + 1, s->kept_count * sizeof(s->kept[0]));
	}
	return DONE;
}

/* ------------------------------------------------ a connection */
static enum result live(struct sim *s)
{
	/* A second apart, however fast: two records of one moment are one. */
	int64_t utc_ms = now_ms(s) / 1000 * 1000;
	double sun = s->sun;

	if (utc_ms <= s->last_ms)
		utc_ms = s->last_ms + 1000;
	s->last_ms = utc_ms;

	s->sun += RECORD_S;
	if (record(s, utc_ms, sun, false) == LOST) {
		keep(s, utc_ms, sun);
		return LOST;
	}
	s->records++;
	return send_kept(s);
}

static bool enough(const struct sim *s)
{
	return s->o->count && s->records >= s->o->count;
}

static void converse(struct sim *s)
{
	struct sim_frame f;

	for (unsigned int i = 0;; i++) {
		f.length = 0;
		s->device.now_ms = now_ms(s);
		if (!s->o->protocol->hello(&s->device, i, &f))
			break;
		if (f.length && exchange(s, &f) == LOST)
			return;
	}
	while (live(s) == DONE && !enough(s)) {
		pause_for(s, s->o->interval / 2);
		if (s->o->protocol->beat && s->o->interval >= 1 && (s->fd >= 0 || s->o->transcript)) {
			f.length = 0;
			s->device.now_ms = now_ms(s);
			s->o->protocol->beat(&s->device, &f);
			if (exchange(s, &f) == LOST)
				return;
		}
		pause_for(s, s->o->interval / 2);
		if (s->fd < 0 && !s->o->transcript)
			return;
	}
}

static int connect_now(struct sim *s)
{
	s->fd = socket(s->o->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (connect(s->fd, (const struct sockaddr *)&s->o->address, s->o->address_length) < 0) {
		int e = errno;

		drop(s, false);
		return -e;
	}
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	s->sent = 0;
	return 0;
}

static int one_connection(struct sim *s)
{
	int r = connect_now(s);

	if (r < 0)
		return r;
	r = session_new(&s->session, s->o->knowledge, s->o->protocol->name, &events, s);
	if (r < 0) {
		drop(s, false);
		return r;
	}
	if (s->o->silence)
		while (s->fd >= 0)
			pause_for(s, 1);
	else
		converse(s);
	s->session = session_free(s->session);
	drop(s, false);
	return 0;
}

int sim_device_run(struct sim_options *o)
{
	static struct sim s;
	int64_t now;
	int r = 0;

	s = (struct sim){ .o = o, .fd = -1, .sun = o->noon * 3600, .truth = { .to = stdout, .json = true } };
	now = now_ms(&s);
	snprintf(s.device.serial, sizeof(s.device.serial), "%s", o->serial ? o->serial : o->protocol->serial);
	snprintf(s.device.logger, sizeof(s.device.logger), "%s", o->logger ? o->logger : o->protocol->logger);
	s.device.clock_error_ms = o->clock_error_ms;
	s.device.power_on_ms = now - (o->backfill + KEPT_AGE + 2) * RECORD_MS;
	for (unsigned int i = o->backfill; i; i--)
		keep(&s, now / 1000 * 1000 - (i + KEPT_AGE) * RECORD_MS, s.sun - (double)(i + KEPT_AGE) * RECORD_S);
	if (o->backfill && !o->protocol->stored) {
		fprintf(stderr, "suntap: devices of %s keep no records\n", o->protocol->name);
		return 2;
	}
	if (o->transcript) {
		o->count = o->count ? o->count : 1;
		printf("# simulated: suntap sim device %s --transcript\n", o->protocol->name);
		converse(&s);
		printf("---\n%s", s.expected);
		return fflush(stdout) ? 1 : 0;
	}
	for (int tries = 0; !enough(&s);) {
		r = one_connection(&s);
		if (r == 0) {
			tries = 0;
		} else if (++tries == CONNECT_TRIES || tries == 1) {
			fprintf(stderr, "suntap: %s: %s\n", o->address_text, strerror(-r));
			if (tries == CONNECT_TRIES && o->count)
				return 1;
		}
		if (!enough(&s))
			poll(NULL, 0, RECONNECT_MS);
	}
	return 0;
}
