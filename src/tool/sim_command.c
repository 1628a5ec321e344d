/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_command.c - suntap sim: its options, and what device and cloud share on the wire */
#include "tool/sim_command.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/sim_options.h"

enum { SEND_PATIENCE_MS = 10000, RUBBISH_MAX = 32 };

static void usage(FILE *to)
{
	fputs("usage: suntap sim device PROTOCOL --to HOST:PORT [OPTION...]\n"
	      "       suntap sim cloud PROTOCOL --listen ADDRESS:PORT [OPTION...]\n"
	      "       suntap sim device PROTOCOL --transcript [OPTION...]\n"
	      "\n"
	      "A device, or a cloud, that does not exist: for trying a set-up with no inverter. PROTOCOL (port):\n"
	      "  ", to);
	for (size_t i = 0; sim_protocols[i]; i++)
		fprintf(to, "%s%s (%u)", i ? ", " : "", sim_protocols[i]->name, sim_protocols[i]->port);
	fputs("\n\n"
	      "The device sends a record every so often; each shows a sunny day five minutes later.\n"
	      "  --to HOST:PORT       where the cloud is\n"
	      "  --interval S         between records (300); fractions are allowed\n"
	      "  --count N            end after N records, all answered\n"
	      "  --backfill N         first also N records that it had kept\n"
	      "  --sun HOUR           what the sun's clock says at the first record (10)\n"
	      "  --serial TEXT, --logger TEXT\n"
	      "  --clock-error S      its clock is ahead by S seconds\n"
	      "  --timeout S          without an answer for so long (10) it repeats; after three it reconnects\n"
	      "  --transcript         no connection: both sides as a text, with what a decoder must find in it\n"
	      "The cloud answers as the maker's does, and prints what it understands.\n"
	      "  --listen ADDRESS:PORT\n"
	      "  --count N            end after N connections\n"
	      "Faults, of either:\n"
	      "  --split              each byte is sent by itself\n"
	      "  --reset-after N      reset the connection after N frames\n"
	      "  --silence            say nothing\n"
	      "  --rubbish            random bytes before each frame\n"
	      "  --bad-checksum       before each record the same with a wrong checksum\n"
	      "  --seed N             of what is random\n"
	      "  --json               one JSON object a line: what was put in, or what was understood\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit status: 0 as asked, 1 the connection failed, 2 misuse.\n", to);
}

/* ------------------------------------------------ on the wire */
static uint32_t next_random(struct sim_options *o)
{
	/* xorshift32 */
	o->random ^= o->random << 13;
	o->random ^= o->random >> 17;
	o->random ^= o->random << 5;
	return o->random;
}

static int send_bytes(int fd, const uint8_t *bytes, size_t length, size_t most)
{
	while (length) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		ssize_t n = send(fd, bytes, length < most ? length : most, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			bytes += n;
			length -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (poll(&p, 1, SEND_PATIENCE_MS) == 0)
			return -ETIMEDOUT;
	}
	return 0;
}

static size_t rubbish(struct sim_options *o, enum dir dir, uint8_t bytes[RUBBISH_MAX])
{
	bool bare = dir == DIR_CLOUD && o->protocol->bare_answers;
	size_t n = o->rubbish && !bare ? 1 + next_random(o) % RUBBISH_MAX : 0;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(next_random(o) >> 11);
	return n;
}

int sim_send(struct sim_options *o, int fd, enum dir dir, const struct sim_frame *f)
{
	uint8_t before[RUBBISH_MAX];
	size_t n = rubbish(o, dir, before), most = o->split ? 1 : SIZE_MAX;
	int r = send_bytes(fd, before, n, most);

	return r < 0 ? r : send_bytes(fd, f->bytes, f->length, most);
}

void sim_transcribe(struct sim_options *o, enum dir dir, const struct sim_frame *f)
{
	uint8_t before[RUBBISH_MAX];
	size_t n = rubbish(o, dir, before);
	const char mark = dir == DIR_DEVICE ? '>' : '<';

	if (n) {
		printf("%c ", mark);
		for (size_t i = 0; i < n; i++)
			printf("%02x", before[i]);
		putchar('\n');
	}
	for (size_t i = 0; i < f->length; i++) {
		if (!i || o->split)
			printf("%s%c ", i ? "\n" : "", mark);
		printf("%02x", f->bytes[i]);
	}
	putchar('\n');
}

void sim_reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* ------------------------------------------------ options */
static bool number(const char *text, double low, double high, double *ret)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || *end || !(v >= low && v <= high))
		return false;
	*ret = v;
	return true;
}

/* HOST:PORT, [HOST]:PORT, or HOST alone: the protocol's port. */
static bool address(struct sim_options *o, const char *text, bool to_listen)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = to_listen ? AI_PASSIVE : 0 };
	char host[256], port[16];
	const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
	struct addrinfo *found;
	size_t length;
	int r;

	if (bracket ? bracket > colon : colon && strchr(text, ':') != colon)
		colon = NULL;				/* an IPv6 address alone */
	length = colon ? (size_t)(colon - text) : strlen(text);
	if (*text == '[' && bracket) {
		text++;
		length = (size_t)(bracket - text);
	}
	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	snprintf(port, sizeof(port), "%u", o->protocol->port);
	if (colon)
		snprintf(port, sizeof(port), "%s", colon + 1);
	r = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (r) {
		fprintf(stderr, "suntap: %s, port %s: %s\n", host, port, gai_strerror(r));
		return false;
	}
	memcpy(&o->address, found->ai_addr, found->ai_addrlen);
	o->address_length = found->ai_addrlen;
	snprintf(o->address_text, sizeof(o->address_text), strchr(host, ':') ? "[%.60s]:%s" : "%.60s:%s", host, port);
	freeaddrinfo(found);
	return true;
}

/* As long as the one it is for, as fields are. */
static bool fits_id(const char *text, const char *otherwise)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] < '!' || text[i] > '~')
			return false;
	return n > 0 && n == strlen(otherwise);
}

enum choice {
	TO, LISTEN, INTERVAL, COUNT, BACKFILL, SUN, SERIAL, LOGGER, CLOCK_ERROR, TIMEOUT, TRANSCRIPT, SPLIT, RESET_AFTER,
	SILENCE, RUBBISH, BAD_CHECKSUM, SEED, JSON, HELP, VERSION,
};

static const struct option options[] = {
	{ "to", required_argument, NULL, TO },		{ "listen", required_argument, NULL, LISTEN },
	{ "interval", required_argument, NULL, INTERVAL },	{ "count", required_argument, NULL, COUNT },
	{ "backfill", required_argument, NULL, BACKFILL },	{ "sun", required_argument, NULL, SUN },
	{ "serial", required_argument, NULL, SERIAL },	{ "logger", required_argument, NULL, LOGGER },
	{ "clock-error", required_argument, NULL, CLOCK_ERROR },	{ "timeout", required_argument, NULL, TIMEOUT },
	{ "transcript", no_argument, NULL, TRANSCRIPT },	{ "split", no_argument, NULL, SPLIT },
	{ "reset-after", required_argument, NULL, RESET_AFTER },	{ "silence", no_argument, NULL, SILENCE },
	{ "rubbish", no_argument, NULL, RUBBISH },	{ "bad-checksum", no_argument, NULL, BAD_CHECKSUM },
	{ "seed", required_argument, NULL, SEED },	{ "json", no_argument, NULL, JSON },
	{ "help", no_argument, NULL, HELP },		{ "version", no_argument, NULL, VERSION },
	{ NULL, 0, NULL, 0 },
};

/* What was wrong, or NULL. */
static const char *set(struct sim_options *o, enum choice choice, const char *text)
{
	double v = 0;

	switch (choice) {
	case INTERVAL:
		return number(text, 0, 86400, &o->interval) ? NULL : "--interval: 0 to 86400 seconds";
	case TIMEOUT:
		return number(text, 0.01, 3600, &o->timeout) ? NULL : "--timeout: 0.01 to 3600 seconds";
	case SUN:
		return number(text, 0, 24, &o->noon) ? NULL : "--sun: 0 to 24 hours";
	case COUNT:
		if (!number(text, 1, 1e9, &v))
			return "--count: 1 or more";
		o->count = (uint64_t)v;
		return NULL;
	case BACKFILL:
		if (!number(text, 0, 1000, &v))
			return "--backfill: 0 to 1000";
		o->backfill = (unsigned int)v;
		return NULL;
	case RESET_AFTER:
		if (!number(text, 1, 1e6, &v))
			return "--reset-after: 1 or more";
		o->reset_after = (unsigned int)v;
		return NULL;
	case SEED:
		if (!number(text, 1, UINT32_MAX, &v))
			return "--seed: 1 or more";
		o->random = (uint32_t)v;
		return NULL;
	case CLOCK_ERROR:
		if (!number(text, -4e9, 4e9, &v))
			return "--clock-error: seconds";
		o->clock_error_ms = (int64_t)(v * 1000);
		return NULL;
	case SERIAL:
		o->serial = text;
		return fits_id(text, o->protocol->serial) ? NULL : "--serial: of another length in this protocol";
	case LOGGER:
		o->logger = text;
		return fits_id(text, o->protocol->logger) ? NULL : "--logger: of another length in this protocol";
	case SPLIT:
		o->split = true;
		return NULL;
	case SILENCE:
		o->silence = true;
		return NULL;
	case RUBBISH:
		o->rubbish = true;
		return NULL;
	case BAD_CHECKSUM:
		o->bad_checksum = true;
		return o->protocol->checksum ? NULL : "--bad-checksum: this protocol has no checksum";
	case JSON:
		o->json = true;
		return NULL;
	case TRANSCRIPT:
		o->transcript = true;
		return NULL;
	case TO: case LISTEN: case HELP: case VERSION:
		break;
	}
	return NULL;
}

static int misuse(const char *what)
{
	if (what)
		fprintf(stderr, "suntap: %s\n", what);
	fputs("Try \"suntap sim --help\".\n", stderr);
	return 2;
}

/* The cloud decodes what it is sent, so it wants the maps; a device needs none. */
static int load_maps(struct sim_options *o, bool cloud)
{
	return cloud ? knowledge_installed(&o->knowledge, NULL, NULL) : knowledge_new(&o->knowledge, NULL, 0, NULL, NULL);
}

int sim_main(int argc, char *argv[])
{
	struct sim_options o = { .interval = 300, .timeout = 10, .noon = 10, .random = 1 };
	bool cloud = argc > 1 && !strcmp(argv[1], "cloud");
	const char *to = NULL;
	int c, r;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		usage(stdout);
		return 0;
	}
	if (argc < 3 || (!cloud && strcmp(argv[1], "device"))) {
		usage(stderr);
		return 2;
	}
	o.protocol = sim_protocol(argv[2]);
	if (!o.protocol) {
		fprintf(stderr, "suntap: no device or cloud of the protocol \"%s\"\n", argv[2]);
		return misuse(NULL);
	}
	argc -= 2;
	argv += 2;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const char *fault;

		if (c == '?')
			return misuse(NULL);
		if (c == HELP) {
			usage(stdout);
			return 0;
		}
		if (c == VERSION) {
			puts("suntap " SUNTAP_VERSION);
			return 0;
		}
		if (c == (cloud ? LISTEN : TO))
			to = optarg;
		else if (c == LISTEN || c == TO)
			return misuse("--to is the device's, --listen the cloud's");
		fault = set(&o, (enum choice)c, optarg);
		if (fault)
			return misuse(fault);
	}
	if (optind < argc)
		return misuse("too many words");
	if (o.transcript ? cloud || to : !to)
		return misuse(cloud ? "where to listen? --listen ADDRESS:PORT" : "where to? --to HOST:PORT, or --transcript");
	if (to && !address(&o, to, cloud))
		return 2;
	r = load_maps(&o, cloud);
	if (r < 0) {
		fprintf(stderr, "suntap: %s\n", strerror(-r));
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	r = cloud ? sim_cloud_run(&o) : sim_device_run(&o);
	knowledge_free(o.knowledge);
	return r;
}
