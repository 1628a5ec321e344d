/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mqtt_client.c - one connection to a broker, in the event loop; see mqtt_client.h */
#include "export/mqtt_client.h"

#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "export/exporter.h"
#include "shared/log.h"
#include "shared/util.h"

/* Nothing that we subscribe to is longer; a broker of MQTT 5 then keeps it to itself. */
enum { PACKET_MAX = 4096 };

enum { KEEPALIVE = 30, GREETING_SECONDS = 20, OWNER_SECONDS = 60, SHORT_SECONDS = 5 };

enum client_state { CLIENT_WAITING, CLIENT_CONNECTING, CLIENT_GREETING, CLIENT_UP };

struct mqtt_client {
	struct destination *destination;
	const struct mqtt_client_settings *settings;
	const struct mqtt_events *events;
	void *user;
	struct mosquitto *mosq;
	char host[SETTINGS_PATH_MAX];
	int port;
	bool tls;
	enum client_state state;
	int64_t since;			/* of state, monotonic */
	bool fallen_back;		/* to 3.1.1 */
	unsigned failures, closed_early;
	sd_event_source *wait, *io, *done;
	/* the thread's: its answer is there when the event descriptor says so */
	pthread_t thread;
	int event, answer, answer_errno;
	/* of callbacks, dealt with after the call that made them */
	int greeting;			/* reason of the CONNACK; -1: none yet */
	char said[160];			/* the last error that the library told */
};

/* ---------------------------------------------------------------- settings */

/* mqtt://host[:port], mqtts://host[:port], [v6] in brackets */
static bool split_url(const char *text, char host[static SETTINGS_PATH_MAX], int *ret_port, bool *ret_tls)
{
	size_t scheme = strncmp(text, "mqtt://", 7) == 0 ? 7 : strncmp(text, "mqtts://", 8) == 0 ? 8 : 0;
	const char *at = text + scheme, *end;
	unsigned long long port;
	size_t n;

	if (!scheme || strlen(text) >= SETTINGS_PATH_MAX)
		return false;
	*ret_tls = scheme == 8;
	end = *at == '[' ? strchr(at, ']') : at + strcspn(at, ":/");
	if (!end)
		return false;
	at += *at == '[';
	n = (size_t)(end - at);
	memcpy(host, at, n);
	host[n] = '\0';
	if (!ini_is_host_name(host) && !ini_is_ip(host))
		return false;
	end += *end == ']';
	port = *ret_tls ? 8883 : 1883;
	if (*end == ':') {
		n = strspn(end + 1, "0123456789");
		if (!ini_number(end + 1, n, &port) || port < 1 || port > 65535)
			return false;
		end += 1 + n;
	}
	*ret_port = (int)port;
	return !*end || strcmp(end, "/") == 0;
}

bool mqtt_parse_url(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	char host[SETTINGS_PATH_MAX];
	int port;
	bool tls;

	if (strchr(text, '@')) {
		ini_complain(p, p->line, k->name, "has a user or a password in it; would be a key of its own: user, password_file");
		return false;
	}
	if (!split_url(text, host, &port, &tls))
		return ini_bad_value(p, k, text);
	return settings_parse_text(p, k, text, at);
}

static const char *const version_names[] = { [MQTT_AUTO] = "auto", [MQTT_5] = "5", [MQTT_311] = "3.1.1" };

bool mqtt_parse_version(struct ini *p, const struct ini_key *k, const char *text, void *at)
{
	return ini_parse_choice(p, k, text, version_names, ARRAY_SIZE(version_names), at);
}

void mqtt_print_version(const struct ini_key *k, const void *at, FILE *out)
{
	fprintf(out, "%s = %s\n", k->name, version_names[*(const int *)at]);
}

/* ---------------------------------------------------------------- states */

static void set_state(struct mqtt_client *c, enum client_state state)
{
	c->state = state;
	c->since = now_monotonic();
}

static bool speaks_5(const struct mqtt_client *c)
{
	return c->settings->version == MQTT_5 || (c->settings->version == MQTT_AUTO && !c->fallen_back);
}

static void connect_now(struct mqtt_client *c);

static int on_wait(sd_event_source *source, uint64_t usec, void *user)
{
	struct mqtt_client *c = user;

	(void)usec;
	sd_event_source_disable_unref(source);
	c->wait = NULL;
	connect_now(c);
	return 0;
}

static void wait_us(struct mqtt_client *c, uint64_t us)
{
	uint64_t now;

	set_state(c, CLIENT_WAITING);
	c->io = sd_event_source_disable_unref(c->io);
	sd_event_now(c->destination->event, CLOCK_MONOTONIC, &now);
	if (!c->wait && sd_event_add_time(c->destination->event, &c->wait, CLOCK_MONOTONIC, now + us, 10000, on_wait, c) < 0)
		exporter_stop(c->destination->exporter);
}

static void wait_retry(struct mqtt_client *c)
{
	wait_us(c, exporter_back_off(&c->failures));
}

/* The first times soon: what is wrong may just be coming into being. */
static void wait_owner(struct mqtt_client *c)
{
	uint64_t us = exporter_back_off(&c->failures);

	wait_us(c, c->failures > 3 ? UINT64_C(1000000) * OWNER_SECONDS : us);
}

static void trouble(struct mqtt_client *c, const char *what)
{
	exporter_trouble(c->destination->exporter, "%s: %s%s%s%s", c->settings->url, what, c->said[0] ? " (" : "", c->said,
			 c->said[0] ? ")" : "");
}

/* ---------------------------------------------------------------- what the library tells */

/* Also from the thread. What it says may quote the broker. */
static void on_log(struct mosquitto *mosq, void *user, int level, const char *text)
{
	struct mqtt_client *c = user;

	(void)mosq;
	if (!(level & (MOSQ_LOG_ERR | MOSQ_LOG_WARNING)))
		return;
	snprintf(c->said, sizeof(c->said), "%s", text);
	for (char *s = c->said; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
			*s = '?';
}

static void on_connect(struct mosquitto *mosq, void *user, int reason, int flags, const mosquitto_property *properties)
{
	struct mqtt_client *c = user;

	(void)mosq, (void)flags, (void)properties;
	c->greeting = reason;
}

static void on_publish(struct mosquitto *mosq, void *user, int mid, int reason, const mosquitto_property *properties)
{
	struct mqtt_client *c = user;

	(void)mosq, (void)properties;
	c->events->acknowledged(c->user, mid, reason);
}

static void on_message(struct mosquitto *mosq, void *user, const struct mosquitto_message *m, const mosquitto_property *properties)
{
	struct mqtt_client *c = user;

	(void)mosq, (void)properties;
	c->events->message(c->user, m->topic, m->payload, m->payload ? (size_t)m->payloadlen : 0);
}

/* ---------------------------------------------------------------- greeting */

static void refused(struct mqtt_client *c)
{
	char text[64];

	c->said[0] = '\0';
	switch (c->greeting) {
	case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION: case 1:
		if (c->settings->version == MQTT_AUTO && !c->fallen_back) {
			c->fallen_back = true;
			log_info("[%s]: %s has no MQTT 5; going on with 3.1.1", c->destination->settings->section, c->settings->url);
			wait_us(c, 0);
			return;
		}
		trouble(c, "the broker does not speak this version of MQTT; would be version = auto");
		break;
	case MQTT_RC_BAD_USERNAME_OR_PASSWORD: case MQTT_RC_NOT_AUTHORIZED: case MQTT_RC_BANNED: case 4: case 5:
		trouble(c, c->settings->user[0] ? "the broker does not accept the user or the password; nothing is lost, it waits in "
			"the journal" : "the broker wants a user and a password; nothing is lost, it waits in the journal");
		break;
	case MQTT_RC_CLIENTID_NOT_VALID: case 2:
		trouble(c, "the broker does not accept the client id; would be client_id = another");
		break;
	default:
		snprintf(text, sizeof(text), "the broker refuses the connection, with reason %d", c->greeting);
		trouble(c, text);
		mosquitto_disconnect(c->mosq);
		wait_retry(c);
		return;
	}
	mosquitto_disconnect(c->mosq);
	wait_owner(c);
}

/* The socket is gone, or of no use. */
static void lost(struct mqtt_client *c, int rc)
{
	char text[128];
	bool greeting = c->state == CLIENT_GREETING, is_short = now_monotonic() - c->since < SHORT_SECONDS * NSEC_PER_SEC;

	snprintf(text, sizeof(text), greeting ? "closed before it said anything: %s%s" : "the connection is lost: %s",
		 mosquitto_strerror(rc), c->tls ? "" : "; is it a port for TLS (mqtts://)?");
	trouble(c, text);
	/* Some brokers without MQTT 5 just close. */
	if (greeting && rc != MOSQ_ERR_TLS && c->settings->version == MQTT_AUTO && ++c->closed_early % 2 == 0)
		c->fallen_back = !c->fallen_back;
	/* Another with our id would throw us out at once, again and again. */
	if (!greeting && !is_short)
		c->failures = 0;
	wait_retry(c);
}

void mqtt_client_again(struct mqtt_client *c, const char *why)
{
	c->said[0] = '\0';
	trouble(c, why);
	mosquitto_disconnect(c->mosq);
	wait_retry(c);
}

static void watch(struct mqtt_client *c);

/* After each call into the library that may read or write. */
static void after(struct mqtt_client *c, int rc)
{
	if (c->state != CLIENT_GREETING && c->state != CLIENT_UP)
		return;
	if (c->state == CLIENT_GREETING && c->greeting > 0) {
		refused(c);
		return;
	}
	if ((rc != MOSQ_ERR_SUCCESS && rc != MOSQ_ERR_CONN_PENDING) || mosquitto_socket(c->mosq) < 0) {
		lost(c, rc ? rc : MOSQ_ERR_CONN_LOST);
		return;
	}
	if (c->state == CLIENT_GREETING && c->greeting == 0) {
		set_state(c, CLIENT_UP);
		c->closed_early = 0;
		c->said[0] = '\0';
		exporter_fine(c->destination->exporter);
		c->events->up(c->user);
	}
	watch(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct mqtt_client *c = user;
	int rc = MOSQ_ERR_SUCCESS;

	(void)source, (void)fd;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		rc = mosquitto_loop_read(c->mosq, 100);
	if (rc == MOSQ_ERR_SUCCESS && mosquitto_want_write(c->mosq))
		rc = mosquitto_loop_write(c->mosq, 100);
	after(c, rc);
	return 0;
}

static void watch(struct mqtt_client *c)
{
	uint32_t events;

	if (c->state != CLIENT_GREETING && c->state != CLIENT_UP)
		return;
	events = EPOLLIN | (mosquitto_want_write(c->mosq) ? EPOLLOUT : 0);
	if (c->io)
		sd_event_source_set_io_events(c->io, events);
	else if (sd_event_add_io(c->destination->event, &c->io, mosquitto_socket(c->mosq), events, on_io, c) < 0)
		exporter_stop(c->destination->exporter);
}

/* ---------------------------------------------------------------- connecting */

static void *connecting(void *user)
{
	struct mqtt_client *c = user;
	mosquitto_property *properties = NULL;
	uint64_t one = 1;

	if (speaks_5(c))
		mosquitto_property_add_int32(&properties, MQTT_PROP_MAXIMUM_PACKET_SIZE, PACKET_MAX);
	errno = 0;
	c->answer = mosquitto_connect_bind_v5(c->mosq, c->host, c->port, KEEPALIVE, NULL, properties);
	c->answer_errno = errno;
	mosquitto_property_free_all(&properties);
	if (write(c->event, &one, sizeof(one)) < 0)
		c->answer_errno = errno;
	return NULL;
}

static int set_credentials(struct mqtt_client *c)
{
	const struct mqtt_client_settings *s = c->settings;
	char *password = NULL;
	int e = 0;

	if (!s->user[0])
		return 0;
	if (s->password_file[0])
		e = settings_secret(c->destination->settings, "password_file", s->password_file, &password);
	if (e == 0 && mosquitto_username_pw_set(c->mosq, s->user, password) != MOSQ_ERR_SUCCESS)
		e = -EINVAL;
	settings_secret_free(password);
	return e;
}

static void connect_now(struct mqtt_client *c)
{
	int e = set_credentials(c);

	c->greeting = -1;
	c->said[0] = '\0';
	mosquitto_int_option(c->mosq, MOSQ_OPT_PROTOCOL_VERSION, speaks_5(c) ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	if (e == 0)
		e = -pthread_create(&c->thread, NULL, connecting, c);
	if (e) {
		exporter_trouble(c->destination->exporter, "%s: cannot connect: %s", c->settings->url, strerror(-e));
		wait_owner(c);
		return;
	}
	set_state(c, CLIENT_CONNECTING);
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct mqtt_client *c = user;
	uint64_t n;

	(void)source, (void)events;
	if (read(fd, &n, sizeof(n)) < 0)
		return 0;
	pthread_join(c->thread, NULL);
	if (c->answer == MOSQ_ERR_SUCCESS) {
		set_state(c, CLIENT_GREETING);
		after(c, MOSQ_ERR_SUCCESS);
		return 0;
	}
	if (c->answer == MOSQ_ERR_ERRNO)
		trouble(c, strerror(c->answer_errno));
	else if (c->answer == MOSQ_ERR_EAI)
		trouble(c, "its name has no address");
	else if (c->answer == MOSQ_ERR_TLS)
		trouble(c, "TLS fails: the certificate of the broker, or ours, is not accepted");
	else
		trouble(c, mosquitto_strerror(c->answer));
	wait_retry(c);
	return 0;
}

/* ---------------------------------------------------------------- begin and end */

static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
	(void)buf, (void)size, (void)rwflag, (void)user;
	return 0;
}

static int set_tls(struct mqtt_client *c)
{
	const struct mqtt_client_settings *s = c->settings;
	char certificate[512], key[512];
	int e = 0, rc;

	if (!c->tls)
		return 0;
	if (s->certificate_file[0])
		e = settings_secret_path(c->destination->settings, "certificate_file", s->certificate_file, certificate);
	if (e == 0 && s->key_file[0])
		e = settings_secret_path(c->destination->settings, "key_file", s->key_file, key);
	if (e)
		return e;
	/* MOSQ_OPT_TLS_USE_OS_CERTS is forgotten at a reconnection before 2.0.12. */
	rc = mosquitto_tls_set(c->mosq, s->ca_file[0] ? s->ca_file : NULL, s->ca_file[0] ? NULL : "/etc/ssl/certs",
			       s->certificate_file[0] ? certificate : NULL, s->key_file[0] ? key : NULL, no_passphrase);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_tls_opts_set(c->mosq, s->verify, "tlsv1.2", NULL);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_tls_insecure_set(c->mosq, !s->verify);
	if (rc == MOSQ_ERR_SUCCESS)
		return 0;
	log_error("[%s]: the files for TLS cannot be used (ca_file, certificate_file, key_file): %s", c->destination->settings->section,
		  rc == MOSQ_ERR_INVAL ? "one is not there or cannot be read, or certificate and key are not given together" :
		  mosquitto_strerror(rc));
	return -EINVAL;
}

int mqtt_client_open(struct mqtt_client **ret, struct destination *d, const struct mqtt_client_settings *s, const char *id,
		     const char *will_topic, const struct mqtt_events *events, void *user)
{
	struct mqtt_client *c = calloc(1, sizeof(*c));
	int e;

	if (!c)
		return -ENOMEM;
	*ret = c;
	c->destination = d;
	c->settings = s;
	c->events = events;
	c->user = user;
	split_url(s->url, c->host, &c->port, &c->tls);
	mosquitto_lib_init();
	c->mosq = mosquitto_new(s->client_id[0] ? s->client_id : id, true, c);
	c->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!c->mosq || c->event < 0)
		return -ENOMEM;
	mosquitto_log_callback_set(c->mosq, on_log);
	mosquitto_connect_v5_callback_set(c->mosq, on_connect);
	mosquitto_publish_v5_callback_set(c->mosq, on_publish);
	mosquitto_message_v5_callback_set(c->mosq, on_message);
	mosquitto_int_option(c->mosq, MOSQ_OPT_TCP_NODELAY, 1);
	if (mosquitto_will_set(c->mosq, will_topic, 7, "offline", 1, true) != MOSQ_ERR_SUCCESS)
		return -EINVAL;
	e = set_tls(c);
	if (e == 0)
		e = set_credentials(c);
	if (e == 0)
		e = sd_event_add_io(d->event, &c->done, c->event, EPOLLIN, on_done, c);
	if (e < 0)
		return e;
	wait_us(c, 0);
	return 0;
}

struct mqtt_client *mqtt_client_close(struct mqtt_client *c)
{
	if (!c)
		return NULL;
	sd_event_source_unref(c->wait);
	sd_event_source_unref(c->io);
	sd_event_source_unref(c->done);
	if (c->state == CLIENT_CONNECTING) {
		/* It may wait for minutes, and the process ends: all of this is left to it. */
		pthread_detach(c->thread);
		return NULL;
	}
	if (c->state == CLIENT_UP) {
		mosquitto_disconnect(c->mosq);
		if (mosquitto_want_write(c->mosq))
			mosquitto_loop_write(c->mosq, 1);
	}
	if (c->mosq)
		mosquitto_destroy(c->mosq);
	mosquitto_lib_cleanup();
	close_fd(c->event);
	free(c);
	return NULL;
}

/* ---------------------------------------------------------------- in use */

bool mqtt_client_is_up(const struct mqtt_client *c)
{
	return c->state == CLIENT_UP;
}

int mqtt_client_publish(struct mqtt_client *c, const char *topic, const char *payload, size_t length)
{
	int mid = 0, rc;

	rc = mosquitto_publish(c->mosq, &mid, topic, (int)length, payload, 1, true);
	switch (rc) {
	/* Where the connection breaks it is in the queue all the same, and goes out with the next. */
	case MOSQ_ERR_SUCCESS: case MOSQ_ERR_NO_CONN: case MOSQ_ERR_CONN_LOST: case MOSQ_ERR_ERRNO: case MOSQ_ERR_TLS:
		after(c, rc);
		return mid;
	case MOSQ_ERR_OVERSIZE_PACKET: case MOSQ_ERR_PAYLOAD_SIZE:
		return -EMSGSIZE;
	case MOSQ_ERR_NOMEM:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

void mqtt_client_subscribe(struct mqtt_client *c, const char *topic)
{
	after(c, mosquitto_subscribe(c->mosq, NULL, topic, 1));
}

void mqtt_client_tick(struct mqtt_client *c)
{
	if (c->state == CLIENT_GREETING && now_monotonic() - c->since > GREETING_SECONDS * NSEC_PER_SEC) {
		mosquitto_disconnect(c->mosq);
		lost(c, MOSQ_ERR_TIMEOUT);
	} else if (c->state == CLIENT_GREETING || c->state == CLIENT_UP) {
		after(c, mosquitto_loop_misc(c->mosq));
	}
}
