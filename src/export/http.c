/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http.c - one POST at a time to one server; see http.h */
#include "export/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <zlib.h>

#include "shared/log.h"
#include "shared/util.h"

enum { SOCKETS_MAX = 8 };

/* What curl wants to know about a socket. */
struct watched {
	int fd;				/* -1: free */
	sd_event_source *source;
};

struct http {
	const struct http_settings *settings;
	sd_event *event;
	void (*done)(void *user, const struct http_answer *answer);
	void *user;
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers, *packed_headers;	/* the same, but for Content-Encoding */
	struct watched sockets[SOCKETS_MAX];
	sd_event_source *timer;
	bool busy, gzip;
	z_stream deflate;
	char *packed;
	size_t packed_size;
	char error[CURL_ERROR_SIZE];
	char body[HTTP_ANSWER_MAX + 1];
	size_t body_length;
};

/* ---------------------------------------------------------------- settings */

bool http_parse_pin(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	size_t n = strlen(text);

	if (strncmp(text, "sha256//", 8) != 0 || n != 8 + 44 ||
	    strspn(text + 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != 44)
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static const char *const gzip_names[] = { [HTTP_GZIP_AUTO] = "auto", [HTTP_GZIP_NO] = "no", [HTTP_GZIP_YES] = "yes" };

bool http_parse_gzip(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, gzip_names, ARRAY_SIZE(gzip_names), at);
}

void http_print_gzip(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, gzip_names[*(const int *)at]);
}

/* Compressing costs more time than loopback does. */
static bool is_here(const char *url)
{
	const char *host = strstr(url, "://");
	static const char *const here[] = { "127.", "localhost:", "localhost/", "[::1]" };

	if (!host)
		return false;
	host += 3;
	for (size_t i = 0; i < ARRAY_SIZE(here); i++)
		if (strncmp(host, here[i], strlen(here[i])) == 0)
			return true;
	return strcmp(host, "localhost") == 0;
}

/* ---------------------------------------------------------------- curl and the loop */

static void finish(struct http *h, CURLcode code)
{
	struct http_answer a = { 0 };
	curl_off_t retry = 0;

	curl_multi_remove_handle(h->multi, h->easy);
	h->busy = false;
	for (size_t i = 0; i < h->body_length; i++)
		if ((unsigned char)h->body[i] < ' ' || (unsigned char)h->body[i] > '~')
			h->body[i] = h->body[i] == '\n' || h->body[i] == '\r' || h->body[i] == '\t' ? ' ' : '?';
	while (h->body_length && h->body[h->body_length - 1] == ' ')
		h->body_length--;
	h->body[h->body_length] = '\0';
	a.body = h->body;
	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &a.status);
	if (curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &retry) == CURLE_OK && retry > 0)
		a.retry_after = (uint64_t)retry;
	if (code != CURLE_OK)
		a.failure = h->error[0] ? h->error : curl_easy_strerror(code);
	h->done(h->user, &a);
}

static void look(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)))
		if (m->msg == CURLMSG_DONE) {
			finish(h, m->data.result);
			return;		/* there is one at a time, and done() may have begun the next */
		}
}

static void act(struct http *h, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(h->multi, fd, what, &running);
	look(h);
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *user)
{
	(void)source;
	act(user, fd, (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
	    (events & EPOLLERR ? CURL_CSELECT_ERR : 0));
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	act(user, CURL_SOCKET_TIMEOUT, 0);
	return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket)
{
	struct http *h = user;
	struct watched *w = NULL;
	uint32_t events = what == CURL_POLL_IN ? EPOLLIN : what == CURL_POLL_OUT ? EPOLLOUT : EPOLLIN | EPOLLOUT;

	(void)easy, (void)socket;
	for (size_t i = 0; i < SOCKETS_MAX && !w; i++)
		if (h->sockets[i].fd == fd)
			w = &h->sockets[i];
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			w->source = sd_event_source_disable_unref(w->source);
			w->fd = -1;
		}
		return 0;
	}
	if (w) {
		sd_event_source_set_io_events(w->source, events);
		return 0;
	}
	for (size_t i = 0; i < SOCKETS_MAX && !w; i++)
		if (h->sockets[i].fd < 0)
			w = &h->sockets[i];
	if (!w || sd_event_add_io(h->event, &w->source, fd, events, on_socket, h) < 0)
		return -1;
	w->fd = fd;
	return 0;
}

static int want_timer(CURLM *multi, long ms, void *user)
{
	struct http *h = user;
	uint64_t now;

	(void)multi;
	if (ms < 0) {
		sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
		return 0;
	}
	sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	sd_event_source_set_time(h->timer, now + (uint64_t)ms * 1000);
	sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
	return 0;
}

static size_t take_body(char *data, size_t one, size_t n, void *user)
{
	struct http *h = user;
	size_t length = one * n, room = HTTP_ANSWER_MAX - h->body_length;

	memcpy(h->body + h->body_length, data, length < room ? length : room);
	h->body_length += length < room ? length : room;
	return length;
}

/* ---------------------------------------------------------------- begin and end */

static void set_options(struct http *h)
{
	const struct http_settings *s = h->settings;
	CURL *e = h->easy;

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "suntap/" SUNTAP_VERSION);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);	/* a stop does not wait for a name server that is silent */
	curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)s->timeout);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->error);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, s->verify ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, s->verify ? 2L : 0L);
	if (s->ca_file[0])
		curl_easy_setopt(e, CURLOPT_CAINFO, s->ca_file);
	if (s->certificate_file[0])
		curl_easy_setopt(e, CURLOPT_SSLCERT, s->certificate_file);
	if (s->key_file[0])
		curl_easy_setopt(e, CURLOPT_SSLKEY, s->key_file);
	if (s->pinned_key[0])
		curl_easy_setopt(e, CURLOPT_PINNEDPUBLICKEY, s->pinned_key);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
}

int http_open(struct http **ret, sd_event *event, const struct http_settings *s,
	      void (*done)(void *user, const struct http_answer *answer), void *user)
{
	struct http *h = calloc(1, sizeof(*h));
	int e = -ENOMEM;

	if (!h)
		return e;
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		h->sockets[i].fd = -1;
	h->settings = s;
	h->event = event;
	h->done = done;
	h->user = user;
	h->gzip = s->gzip == HTTP_GZIP_YES || (s->gzip == HTTP_GZIP_AUTO && !is_here(s->url));
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0) {
		h->multi = curl_multi_init();
		h->easy = curl_easy_init();
	}
	/* 31: a window of 32 kB and the header of gzip */
	if (!h->multi || !h->easy || (h->gzip && deflateInit2(&h->deflate, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)) {
		http_close(h);
		return e;
	}
	e = sd_event_add_time(event, &h->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, h);
	if (e < 0) {
		http_close(h);
		return e;
	}
	set_options(h);
	*ret = h;
	return 0;
}

struct http *http_close(struct http *h)
{
	if (!h)
		return NULL;
	if (h->busy)
		curl_multi_remove_handle(h->multi, h->easy);
	/* Closing tells want_socket() of each socket, so sources go before their descriptors. */
	curl_easy_cleanup(h->easy);
	curl_multi_cleanup(h->multi);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		sd_event_source_disable_unref(h->sockets[i].source);
	sd_event_source_disable_unref(h->timer);
	http_clear_headers(h);
	if (h->gzip)
		deflateEnd(&h->deflate);
	free(h->packed);
	free(h);
	return NULL;
}

void http_set_user(struct http *h, const char *user, const char *password)
{
	curl_easy_setopt(h->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	curl_easy_setopt(h->easy, CURLOPT_USERNAME, user);
	curl_easy_setopt(h->easy, CURLOPT_PASSWORD, password);
}

static int add(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

int http_add_header(struct http *h, const char *line)
{
	int e = 0;

	if (!h->headers) {
		/* No "Expect: 100-continue": it costs a second where a server does not know it. */
		e = add(&h->headers, "Expect:");
		if (e == 0)
			e = add(&h->packed_headers, "Expect:");
		if (e == 0)
			e = add(&h->packed_headers, "Content-Encoding: gzip");
	}
	if (e == 0)
		e = add(&h->headers, line);
	return e == 0 ? add(&h->packed_headers, line) : e;
}

static struct curl_slist *forget(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
	return NULL;
}

void http_clear_headers(struct http *h)
{
	h->headers = forget(h->headers);
	h->packed_headers = forget(h->packed_headers);
}

/* ---------------------------------------------------------------- a request */

static bool pack(struct http *h, const char *body, size_t length, size_t *ret)
{
	size_t bound = deflateBound(&h->deflate, length);

	if (h->packed_size < bound) {
		free(h->packed);
		h->packed = malloc(bound);
		h->packed_size = h->packed ? bound : 0;
	}
	if (!h->packed || deflateReset(&h->deflate) != Z_OK)
		return false;
	h->deflate.next_in = (Bytef *)(uintptr_t)body;
	h->deflate.avail_in = (uInt)length;
	h->deflate.next_out = (Bytef *)h->packed;
	h->deflate.avail_out = (uInt)h->packed_size;
	if (deflate(&h->deflate, Z_FINISH) != Z_STREAM_END)
		return false;
	*ret = h->packed_size - h->deflate.avail_out;
	return true;
}

static int begin(struct http *h, const char *path, const char *body, size_t length, struct curl_slist *headers)
{
	char url[SETTINGS_PATH_MAX + 2048];

	if (snprintf(url, sizeof(url), "%s%s", h->settings->url, path) >= (int)sizeof(url))
		return -ENAMETOOLONG;
	h->body_length = 0;
	h->error[0] = '\0';
	curl_easy_setopt(h->easy, CURLOPT_URL, url);
	curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
	if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
		return -EIO;
	h->busy = true;
	return 0;
}

int http_post_plain(struct http *h, const char *path, const char *body, size_t length)
{
	return h->busy ? -EBUSY : begin(h, path, body, length, h->headers);
}

int http_post(struct http *h, const char *path, const char *body, size_t length)
{
	size_t packed;

	if (h->busy)
		return -EBUSY;
	if (!h->gzip)
		return begin(h, path, body, length, h->headers);
	return pack(h, body, length, &packed) ? begin(h, path, h->packed, packed, h->packed_headers) : -ENOMEM;
}

void http_add_encoded(char *path, size_t size, const char *text)
{
	size_t used = strlen(path);

	for (; *text && used + 4 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c))
			path[used++] = (char)c;
		else
			used += (size_t)snprintf(path + used, 4, "%%%02X", c);
	}
	path[used] = '\0';
}
