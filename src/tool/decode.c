/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.c - suntap decode: what captured conversations say, without a daemon
 *
 *	transcript ─────────────▶ session ─▶ output
 *	pcap ─▶ capture ─▶ tcp ─▶ one session a flow ─▶ output
 */
#include "tool/decode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocols/maps_folders.h"
#include "protocols/session.h"
#include "tool/capture.h"
#include "tool/options.h"
#include "tool/output.h"
#include "tool/transcript.h"

enum { FOLDERS_MAX = 16 };

struct decode {
	struct output output;
	struct knowledge *knowledge;
	const char *protocol;
	bool trouble;			/* a file could not be read */
};

static void usage(FILE *to)
{
	fputs("usage: suntap decode [--json|--table] [--frames] [--protocol NAME] [--maps DIR] FILE...\n"
	      "\n"
	      "Decodes conversations of inverters with their clouds: pcap and pcapng files, and transcripts\n"
	      "(lines \"> HEX\" from the device, \"< HEX\" from the cloud). FILE \"-\" is standard input.\n"
	      "\n"
	      "  --json           one JSON object a line\n"
	      "  --table          tables for people (the default)\n"
	      "  --frames         also each frame, and what was skipped\n"
	      "  --protocol NAME  do not detect the protocol, it is NAME:\n"
	      "                  ", to);
	for (size_t i = 0; session_protocol_name(i); i++)
		fprintf(to, " %s", session_protocol_name(i));
	fputs("\n"
	      "  --maps DIR       read the register maps from DIR (may be given several times)\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit status: 0 something was decoded, 1 nothing was, 2 misuse or an unreadable file.\n", to);
}

static void complain(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "suntap: map %s\n", text);
}

/* ------------------------------------------------ captures */
struct capture_flow {
	struct decode *decode;
	struct session *session;
	bool server_is_device;
	char label[128];
};

/* Ports on which the logger listens and its client asks; elsewhere the device is the one that calls. */
static bool device_listens(uint16_t port)
{
	return port == 8899 || port == 502;
}

static void *flow_open(void *ctx, bool ipv6, const struct tcp_end *client, const struct tcp_end *server)
{
	struct capture_flow *f = calloc(1, sizeof(*f));
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	int family = ipv6 ? AF_INET6 : AF_INET;

	if (!f)
		return NULL;
	f->decode = ctx;
	f->server_is_device = device_listens(server->port);
	inet_ntop(family, client->address, a, sizeof(a));
	inet_ntop(family, server->address, b, sizeof(b));
	snprintf(f->label, sizeof(f->label), ipv6 ? "[%s]:%u > [%s]:%u" : "%s:%u > %s:%u", a, client->port, b,
		 server->port);
	if (session_new(&f->session, f->decode->knowledge, f->decode->protocol, &output_events,
			&f->decode->output)) {
		free(f);
		return NULL;
	}
	return f;
}

static enum dir direction(const struct capture_flow *f, bool from_client)
{
	return from_client != f->server_is_device ? DIR_DEVICE : DIR_CLOUD;
}

static void flow_data(void *flow, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns)
{
	struct capture_flow *f = flow;

	f->decode->output.flow = f->label;
	session_feed(f->session, direction(f, from_client), bytes, length, time_ns);
}

static void flow_gap(void *flow, bool from_client)
{
	struct capture_flow *f = flow;

	f->decode->output.flow = f->label;
	session_gap(f->session, direction(f, from_client));
}

static void flow_close(void *flow)
{
	struct capture_flow *f = flow;

	f->decode->output.flow = f->label;
	session_end(f->session);
	session_free(f->session);
	free(f);
}

static const struct tcp_events flow_events = { flow_open, flow_data, flow_gap, flow_close };

static void decode_capture(struct decode *d, FILE *stream, const char *name)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	struct tcp *t = tcp_new(&flow_events, d);
	int r;

	if (!t) {
		fclose(stream);
		return;
	}
	r = capture_read(stream, t, error);
	tcp_free(t);
	d->output.flow = NULL;
	if (r) {
		d->trouble |= r < 0;
		fprintf(stderr, "suntap: %s: %s%s\n", name, error,
			r > 0 ? "; what stands before that was decoded" : "");
	}
}

/* ------------------------------------------------ transcripts */
static void decode_transcript(struct decode *d, FILE *stream, const char *name)
{
	struct transcript_result result = { .segments = 0 };
	struct session *s;
	int r = session_new(&s, d->knowledge, d->protocol, &output_events, &d->output);

	if (!r) {
		r = transcript_read(stream, s, &result);
		if (!result.segments && result.faults) {
			fprintf(stderr, "suntap: %s: neither a capture (pcap, pcapng) nor a transcript: %s\n", name,
				result.fault);
			d->trouble = true;
		} else {
			session_end(s);
			if (result.faults)
				fprintf(stderr, "suntap: %s: %s%s\n", name, result.fault,
					result.faults > 1 ? ", and more" : "");
		}
		session_free(s);
	}
	if (r)
		fprintf(stderr, "suntap: %s: %s\n", name, strerror(-r));
	fclose(stream);
}

/* ------------------------------------------------ files */
static bool is_capture(const uint8_t magic[4])
{
	static const uint8_t known[][4] = {
		{ 0xd4, 0xc3, 0xb2, 0xa1 }, { 0xa1, 0xb2, 0xc3, 0xd4 },		/* pcap */
		{ 0x4d, 0x3c, 0xb2, 0xa1 }, { 0xa1, 0xb2, 0x3c, 0x4d },		/* with nanoseconds */
		{ 0x34, 0xcd, 0xb2, 0xa1 }, { 0xa1, 0xb2, 0xcd, 0x34 },		/* Kuznetzov's */
		{ 0x0a, 0x0d, 0x0d, 0x0a },					/* pcapng */
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!memcmp(magic, known[i], 4))
			return true;
	return false;
}

static void decode_file(struct decode *d, const char *name)
{
	bool input = !strcmp(name, "-");
	FILE *stream = input ? fdopen(dup(STDIN_FILENO), "r") : fopen(name, "re");
	uint8_t magic[4] = { 0 };
	size_t n;

	if (input)
		name = "standard input";
	if (!stream) {
		fprintf(stderr, "suntap: %s: %s\n", name, strerror(errno));
		d->trouble = true;
		return;
	}
	errno = 0;
	n = fread(magic, 1, sizeof(magic), stream);
	if (!n) {
		fprintf(stderr, "suntap: %s: %s\n", name, ferror(stream) ? strerror(errno) : "empty");
		d->trouble = true;
		fclose(stream);
		return;
	}
	/* Just read, so still in the buffer: glibc takes all four back, of a pipe too. */
	for (size_t i = n; i-- > 0;)
		if (ungetc(magic[i], stream) == EOF) {
			fprintf(stderr, "suntap: %s: cannot be read again\n", name);
			d->trouble = true;
			fclose(stream);
			return;
		}
	if (n == sizeof(magic) && is_capture(magic))
		decode_capture(d, stream, name);
	else
		decode_transcript(d, stream, name);
}

int decode_main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },	{ "table", no_argument, NULL, 't' },
		{ "frames", no_argument, NULL, 'f' },	{ "protocol", required_argument, NULL, 'p' },
		{ "maps", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },	{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	static char standard[MAPS_FOLDERS_MAX][MAPS_FOLDER_LENGTH];
	struct decode d = { .output = { .to = stdout } };
	const char *folders[FOLDERS_MAX];
	size_t folder_count = 0, i = 0;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'j':
			d.output.json = true;
			break;
		case 't':
			d.output.json = false;
			break;
		case 'f':
			d.output.frames = true;
			break;
		case 'p':
			d.protocol = optarg;
			break;
		case 'm':
			if (folder_count < FOLDERS_MAX)
				folders[folder_count++] = optarg;
			break;
		default:
			return options_other(c, usage, "decode");
		}
	if (optind == argc) {
		usage(stderr);
		return 2;
	}
	while (d.protocol && session_protocol_name(i) && strcmp(session_protocol_name(i), d.protocol))
		i++;
	if (d.protocol && !session_protocol_name(i)) {
		fprintf(stderr, "suntap: unknown protocol \"%s\"; known are:", d.protocol);
		for (i = 0; session_protocol_name(i); i++)
			fprintf(stderr, " %s", session_protocol_name(i));
		fputc('\n', stderr);
		return 2;
	}
	if (!folder_count)
		for (i = 0, folder_count = maps_folders(standard); i < folder_count && i < FOLDERS_MAX; i++)
			folders[i] = standard[i];
	r = knowledge_new(&d.knowledge, folders, folder_count, complain, NULL);
	if (r < 0) {
		fprintf(stderr, "suntap: %s\n", strerror(-r));
		return 2;
	}
	if (!r)
		fprintf(stderr, "suntap: no register maps in %s: only heads of records can be decoded\n", folders[0]);
	for (; optind < argc; optind++)
		decode_file(&d, argv[optind]);
	knowledge_free(d.knowledge);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "suntap: standard output: %s\n", strerror(errno));
		return 2;
	}
	return d.output.decoded ? 0 : d.trouble ? 2 : 1;
}
