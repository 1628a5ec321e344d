/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * http.h - one POST at a time to one server, in the event loop
 *
 * libcurl's multi interface with its sockets and timer as sources of sd-event. The connection is kept. Redirects are
 * not followed: the credentials are for the server that the owner has named.
 */
#ifndef EXPORT_HTTP_H
#define EXPORT_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "export/settings.h"

enum { HTTP_ANSWER_MAX = 8192, HTTP_PIN_MAX = 128 };

/* Embedded in the settings of a destination, with its rows in the table by HTTP_KEYS(). */
struct http_settings {
	char url[SETTINGS_PATH_MAX];
	char ca_file[SETTINGS_PATH_MAX], certificate_file[SETTINGS_PATH_MAX], key_file[SETTINGS_PATH_MAX];
	char pinned_key[HTTP_PIN_MAX];
	bool verify;
	unsigned timeout;
	int gzip;			/* enum http_gzip */
};

enum http_gzip { HTTP_GZIP_AUTO, HTTP_GZIP_NO, HTTP_GZIP_YES };

bool http_parse_pin(struct ini *p, const struct ini_key *k, const char *text, void *at);
bool http_parse_gzip(struct ini *p, const struct ini_key *k, const char *text, void *at);
void http_print_gzip(const struct ini_key *k, const void *at, FILE *out);

#define HTTP_KEYS(s, m, example) \
	{ 0, "url", settings_parse_url, ini_print_text, offsetof(s, m.url), "", 0, SETTINGS_PATH_MAX, 0, \
	  "http:// or https:// and the server, such as " example, "the server" }, \
	{ 0, "ca_file", settings_parse_path, ini_print_text, offsetof(s, m.ca_file), "", 0, SETTINGS_PATH_MAX, 0, \
	  "the path of a PEM file", "who signed the server's certificate, where the system does not know" }, \
	{ 0, "certificate_file", settings_parse_path, ini_print_text, offsetof(s, m.certificate_file), "", 0, \
	  SETTINGS_PATH_MAX, 0, "the path of a PEM file", "a certificate to show to the server" }, \
	{ 0, "key_file", settings_parse_path, ini_print_text, offsetof(s, m.key_file), "", 0, SETTINGS_PATH_MAX, 0, \
	  "the path of a PEM file", "its private key" }, \
	{ 0, "pinned_key", http_parse_pin, ini_print_text, offsetof(s, m.pinned_key), "", 0, HTTP_PIN_MAX, 0, \
	  "sha256// and the BASE64 of the key's digest", "the server's public key must be this one" }, \
	{ 0, "verify", ini_parse_bool, ini_print_bool, offsetof(s, m.verify), "yes", 0, 0, 0, "yes or no", \
	  "no: take whatever certificate the server shows; whoever is on the way then gets the credentials" }, \
	{ 0, "timeout", ini_parse_seconds, ini_print_seconds, offsetof(s, m.timeout), "30s", 1, 600, 0, \
	  "a time such as 30s, 1s to 10min", "how long the server may take to answer" }, \
	{ 0, "gzip", http_parse_gzip, http_print_gzip, offsetof(s, m.gzip), "auto", 0, 0, 0, "auto, yes or no", \
	  "compress what is sent; auto: unless the server is on this machine" }

struct http_answer {
	const char *failure;		/* NULL, or why there is no answer: "Could not resolve host: …" */
	long status;
	uint64_t retry_after;		/* s; 0 = not given */
	const char *body;		/* its first HTTP_ANSWER_MAX bytes, printable ASCII or '?', NUL-terminated */
};

struct http;

int http_open(struct http **ret, sd_event *event, const struct http_settings *s,
	      void (*done)(void *user, const struct http_answer *answer), void *user);
struct http *http_close(struct http *h);	/* returns NULL; takes NULL; done() is not called any more */

/* user NULL: none. Basic authentication. */
void http_set_user(struct http *h, const char *user, const char *password);
/* "Authorization: Token …"; what compression wants is added by itself. 0 or -ENOMEM */
int http_add_header(struct http *h, const char *line);
void http_clear_headers(struct http *h);

/* body must stay until done(), unless it was compressed. -EBUSY while one is under way. */
int http_post(struct http *h, const char *path, const char *body, size_t length);
/* The same, never compressed. */
int http_post_plain(struct http *h, const char *path, const char *body, size_t length);
/* Percent-encodes text to the end of path. */
void http_add_encoded(char *path, size_t size, const char *text);

#endif
