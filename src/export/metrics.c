/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics.c - an endpoint for Prometheus and what speaks like it
 *
 * libmicrohttpd without a thread of its own: its epoll descriptor is a source of the event loop, so that a scrape and a
 * record never meet. An answer is a snapshot.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "export/exporter.h"
#include "export/metrics.h"
#include "shared/log.h"
#include "shared/util.h"

enum { LISTEN_MAX = 64, CONNECTIONS = 64, CONNECTION_SECONDS = 10, CONFIRM = 1000 };

struct metrics_settings {
	char listen[LISTEN_MAX];
	unsigned stale;
	int base;			/* index of unit_names[] */
};

struct endpoint {
	const struct metrics_settings *settings;
	struct metrics *metrics;
	struct MHD_Daemon *daemon;
	sd_event_source *watch, *timer;
	struct destination *destination;
	size_t taken;			/* not confirmed */
};

/* ---------------------------------------------------------------- settings */

/* "127.0.0.1:9560", "[::1]:9560", ":9560" (every address) */
static bool parse_address(const char *text, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(text, ':');
	char host[LISTEN_MAX];
	size_t n = colon ? (size_t)(colon - text) : 0;
	unsigned long long port;

	if (!colon || !ini_number(colon + 1, strlen(colon + 1), &port) || port < 1 || port > 65535 || n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	memset(ret, 0, sizeof(*ret));
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1;
	}
	if (n == 0) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		return true;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

static bool parse_listen(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	struct sockaddr_storage address;

	if (!parse_address(text, &address))
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static const char *const unit_names[] = { "vocabulary", "base" };

static bool parse_units(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, unit_names, ARRAY_SIZE(unit_names), at);
}

static void print_units(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, unit_names[*(const int *)at]);
}

static const struct ini_key keys[] = {
	{ 0, "listen", parse_listen, ini_print_text, offsetof(struct metrics_settings, listen), "127.0.0.1:9560", 0, LISTEN_MAX, 0,
	  "address:port, [address]:port, or :port for every address", "where it is asked: http://127.0.0.1:9560/metrics" },
	{ 0, "stale", ini_parse_seconds, ini_print_seconds, offsetof(struct metrics_settings, stale), "10min", 10, 86400, 0,
	  "a time such as 10min, 10s to 24h", "how old a value may be that is shown" },
	{ 0, "units", parse_units, print_units, offsetof(struct metrics_settings, base), "base", 0, 0, 0, "base or vocabulary",
	  "base: joules, ratios, as Prometheus advises; vocabulary: kWh and percent" },
};

/* ---------------------------------------------------------------- answers */

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, const char *text)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result reply_metrics(struct endpoint *e, struct MHD_Connection *c)
{
	const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	bool open = accept && strstr(accept, "application/openmetrics-text");
	struct text t = { 0 };
	struct MHD_Response *r;
	enum MHD_Result result;

	metrics_write(e->metrics, &t, open, now_realtime(), e->destination->exporter);
	if (t.failed) {
		text_free(&t);
		return reply(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
	}
	r = MHD_create_response_from_buffer(t.length, t.data, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		text_free(&t);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, open ?
				"application/openmetrics-text; version=1.0.0; charset=utf-8" :
				"text/plain; version=0.0.4; charset=utf-8");
	result = MHD_queue_response(c, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *data, size_t *size, void **state)
{
	(void)version, (void)data, (void)size, (void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return reply(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
	if (strcmp(url, "/metrics") != 0)
		return reply(c, MHD_HTTP_NOT_FOUND, "It is at /metrics\n");
	return reply_metrics(user, c);
}

/* ---------------------------------------------------------------- begin and end */

static void run(struct endpoint *e)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(e->daemon);
	/* Connections that have timed out are closed by tick(); what libmicrohttpd wants sooner is waited for here. */
	if (MHD_get_timeout(e->daemon, &ms) == MHD_YES && ms < 1000) {
		uint64_t now;

		sd_event_now(e->destination->event, CLOCK_MONOTONIC, &now);
		sd_event_source_set_time(e->timer, now + ms * 1000);
		sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
	}
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
	(void)source, (void)fd, (void)events;
	run(user);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	run(user);
	return 0;
}

static void on_log(void *user, const char *format, va_list args)
{
	/* Its words about single connections are no news. */
	(void)user, (void)format, (void)args;
}

static int start(struct destination *d)
{
	struct endpoint *e = d->state;
	struct sockaddr_storage address;
	const union MHD_DaemonInfo *info;
	unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;
	int r;

	parse_address(e->settings->listen, &address);
	if (address.ss_family == AF_INET6)
		flags |= e->settings->listen[0] == ':' ? MHD_USE_DUAL_STACK : MHD_USE_IPv6;
	errno = 0;
	e->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, e, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
				     MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_SECONDS,
				     MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
	if (!e->daemon) {
		r = errno ? -errno : -EADDRINUSE;
		log_error("[%s]: %s cannot be listened at: %s", d->settings->section, e->settings->listen, strerror(-r));
		return r;
	}
	info = MHD_get_daemon_info(e->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EINVAL;
	r = sd_event_add_io(d->event, &e->watch, info->epoll_fd, EPOLLIN, on_ready, e);
	if (r >= 0)
		r = sd_event_add_time(d->event, &e->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, e);
	return r < 0 ? r : 0;
}

static int metrics_open(struct destination *d)
{
	struct endpoint *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	d->state = e;
	e->destination = d;
	e->settings = d->settings->own;
	e->metrics = metrics_new(e->settings->stale, e->settings->base);
	return e->metrics ? start(d) : -ENOMEM;
}

static void confirm(struct destination *d)
{
	struct endpoint *e = d->state;
	size_t n = e->taken;

	e->taken = 0;
	if (n)
		exporter_confirm(d->exporter, n);
}

static enum destination_answer metrics_add(struct destination *d, const struct record *r)
{
	struct endpoint *e = d->state;

	if (e->taken >= CONFIRM)
		confirm(d);
	metrics_take(e->metrics, r, now_realtime());
	e->taken++;
	return DESTINATION_TAKEN;
}

static void metrics_tick(struct destination *d)
{
	run(d->state);
	confirm(d);
}

static void metrics_close(struct destination *d)
{
	struct endpoint *e = d->state;

	if (!e)
		return;
	sd_event_source_unref(e->watch);
	sd_event_source_unref(e->timer);
	if (e->daemon)
		MHD_stop_daemon(e->daemon);
	metrics_free(e->metrics);
	free(e);
	d->state = NULL;
}

const struct destination_kind destination_metrics = {
	.name = "metrics",
	.records = 1 << RECORD_READING | 1 << RECORD_INFO | 1 << RECORD_EVENT,
	.recent = METRICS_RECENT,
	.live = true,
	.keys = keys,
	.key_count = ARRAY_SIZE(keys),
	.settings_size = sizeof(struct metrics_settings),
	.open = metrics_open,
	.add = metrics_add,
	.flush = confirm,
	.tick = metrics_tick,
	.close = metrics_close,
};
