/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mqtt_client.h - one connection to a broker, in the event loop
 *
 * Theory of operation
 *	libmosquitto without a loop of its own. Resolving and connecting block in it, so a thread does them, one attempt at a
 *	time, while nothing else touches the library; all else happens in the loop:
 *
 *	    WAITING --timer--> CONNECTING (thread) --> GREETING (CONNECT sent) --CONNACK--> UP
 *	       ^                    | failed               | refused, closed                 | lost
 *	       `--------------------+----------------------+---------------------------------'
 *
 *	MQTT 5, or 3.1.1 where the broker says that it has no other, or closes twice without a word. What was published
 *	and not acknowledged is sent again by the library after a new connection, with the same numbers.
 *
 *	Wrong credentials are tried again each minute, with the secret read anew; all else after 1, 2, 4 … 60 s.
 */
#ifndef EXPORT_MQTT_CLIENT_H
#define EXPORT_MQTT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/destination.h"
#include "export/settings.h"

enum mqtt_version { MQTT_AUTO, MQTT_5, MQTT_311 };

enum { MQTT_TOPIC_MAX = 128, MQTT_ID_MAX = 64 };

struct mqtt_client_settings {
	char url[SETTINGS_PATH_MAX];
	char user[SETTINGS_TEXT_MAX], password_file[SETTINGS_PATH_MAX];
	char ca_file[SETTINGS_PATH_MAX], certificate_file[SETTINGS_PATH_MAX], key_file[SETTINGS_PATH_MAX];
	bool verify;
	int version;			/* enum mqtt_version */
	char client_id[MQTT_ID_MAX];
};

bool mqtt_parse_url(struct ini *p, const struct ini_key *k, const char *text, void *at);
bool mqtt_parse_version(struct ini *p, const struct ini_key *k, const char *text, void *at);
void mqtt_print_version(const struct ini_key *k, const void *at, FILE *out);

struct mqtt_events {
	void (*up)(void *user);
	void (*acknowledged)(void *user, int mid, int reason);	/* reason >= 128: refused */
	void (*message)(void *user, const char *topic, const char *payload, size_t length);
};

struct mqtt_client;

/* id: where the settings have none. The will: "offline", retained, to will_topic. */
int mqtt_client_open(struct mqtt_client **ret, struct destination *d, const struct mqtt_client_settings *s, const char *id,
		     const char *will_topic, const struct mqtt_events *events, void *user);
struct mqtt_client *mqtt_client_close(struct mqtt_client *c);	/* returns NULL; takes NULL */
bool mqtt_client_is_up(const struct mqtt_client *c);
/* QoS 1: the mid that will be acknowledged, or -EMSGSIZE (the broker does not take so much), -ENOMEM, -EINVAL. */
int mqtt_client_publish(struct mqtt_client *c, const char *topic, const char *payload, size_t length);
void mqtt_client_subscribe(struct mqtt_client *c, const char *topic);
void mqtt_client_again(struct mqtt_client *c, const char *why);	/* ends a connection that is of no use, and makes another */
void mqtt_client_tick(struct mqtt_client *c);			/* once a second */

#endif
