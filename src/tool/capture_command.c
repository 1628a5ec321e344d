/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * capture_command.c - suntap capture: a device's streams into a file, for sharing
 *
 *	LAN interface (libpcap), or a file ─▶ capture ─▶ tcp ─▶ streams ─{mask}─▶ pcapng
 *
 * It reads the packets on the device's side of the gateway, beside suntapd, which need not run: what
 * device and cloud really send, also from streams that suntapd does not read any more.
 */
#include "tool/capture_command.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/config.h"
#include "tool/capture.h"
#include "tool/options.h"
#include "tool/streams.h"

enum { FILTER_MAX = 8192, SNAP = 262144 };

static volatile sig_atomic_t stopped;

static void usage(FILE *to)
{
	fputs("usage: suntap capture [--mask] DEVICE FILE.pcapng\n"
	      "       suntap capture --mask --from CAPTURE FILE.pcapng\n"
	      "\n"
	      "Writes what a device of suntap.ini and its cloud say to each other, until it is ended with Ctrl-C; or\n"
	      "masks a capture that is there (pcap, pcapng), so that it can be shared.\n"
	      "\n"
	      "  --mask            put stand-ins for serial numbers, networks, passwords, names and addresses\n"
	      "  --seconds N       end after so long\n"
	      "  --interface NAME  where to listen, if suntap.ini does not say it\n"
	      "  --config FILE     instead of " CONFIG_FILE "\n"
	      "  --from CAPTURE    read this file\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit status: 0 written, 1 nothing to write or it failed, 2 misuse.\n", to);
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* ------------------------------------------------ which packets */
__attribute__((format(printf, 2, 3)))
static void append(char filter[FILTER_MAX], const char *format, ...)
{
	size_t used = strlen(filter);
	va_list ap;

	va_start(ap, format);
	vsnprintf(filter + used, FILTER_MAX - used, format, ap);
	va_end(ap);
}

static void append_source(char filter[FILTER_MAX], const struct config_source *s)
{
	char text[INET6_ADDRSTRLEN];

	switch (s->kind) {
	case SOURCE_IP4:
		inet_ntop(AF_INET, &s->ip4, text, sizeof(text));
		append(filter, "net %s/%u", text, s->prefix);
		break;
	case SOURCE_IP6:
		inet_ntop(AF_INET6, &s->ip6, text, sizeof(text));
		append(filter, "net %s/%u", text, s->prefix);
		break;
	case SOURCE_MAC:
		append(filter, "ether host %02x:%02x:%02x:%02x:%02x:%02x", s->mac[0], s->mac[1], s->mac[2], s->mac[3], s->mac[4],
		       s->mac[5]);
		break;
	}
}

static void make_filter(const struct config_device *d, char filter[FILTER_MAX])
{
	snprintf(filter, FILTER_MAX, "tcp");
	for (size_t i = 0; i < d->source_count; i++) {
		append(filter, i ? " or " : " and (");
		append_source(filter, &d->sources[i]);
	}
	append(filter, d->source_count ? ")" : "");
	/* What is nailed to ports is listened to there; a device with none is heard on all. */
	for (size_t i = 0; i < d->port_count; i++)
		append(filter, "%sport %u", i ? " or " : " and (", d->ports[i]);
	append(filter, d->port_count ? ")" : "");
}

static const struct config_device *find_device(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->device_count; i++)
		if (!strcmp(c->devices[i].name, name))
			return &c->devices[i];
	return NULL;
}

/* ------------------------------------------------ from the interface */
static pcap_t *open_interface(const char *name, const char *filter)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	struct bpf_program program;
	pcap_t *p = pcap_create(name, error);
	int r;

	if (!p) {
		fprintf(stderr, "suntap: %s: %s\n", name, error);
		return NULL;
	}
	pcap_set_snaplen(p, SNAP);
	pcap_set_immediate_mode(p, 1);
	pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO);
	r = pcap_activate(p);
	if (r < 0) {
		fprintf(stderr, "suntap: %s: %s%s\n", name, pcap_statustostr(r),
			r == PCAP_ERROR_PERM_DENIED ? " (this needs root)" : "");
		pcap_close(p);
		return NULL;
	}
	if (!capture_link_known(pcap_datalink(p)) || pcap_compile(p, &program, filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		fprintf(stderr, "suntap: %s: %s (filter: %s)\n", name, pcap_geterr(p), filter);
		pcap_close(p);
		return NULL;
	}
	r = pcap_setfilter(p, &program);
	pcap_freecode(&program);
	if (r < 0 || pcap_setnonblock(p, 1, error) < 0) {
		fprintf(stderr, "suntap: %s: %s\n", name, pcap_geterr(p));
		pcap_close(p);
		return NULL;
	}
	return p;
}

static int listen_to(pcap_t *p, struct tcp *t, const struct streams *s, double seconds)
{
	int64_t unit = pcap_get_tstamp_precision(p) == PCAP_TSTAMP_PRECISION_NANO ? 1 : 1000;
	int64_t until = now_monotonic() + (int64_t)(seconds * 1e9);
	struct pollfd fd = { .fd = pcap_get_selectable_fd(p), .events = POLLIN };
	int link = pcap_datalink(p), r = 0;

	while (!stopped && !streams_full(s) && (seconds <= 0 || now_monotonic() < until)) {
		struct pcap_pkthdr *head;
		const uint8_t *packet;
		struct tcp_segment segment;

		r = pcap_next_ex(p, &head, &packet);
		if (r < 0) {
			fprintf(stderr, "suntap: %s\n", pcap_geterr(p));
			break;
		}
		if (r == 0) {
			poll(&fd, 1, 200);
			continue;
		}
		if (!capture_parse(link, packet, head->caplen, &segment))
			continue;
		segment.time_ns = (int64_t)head->ts.tv_sec * NSEC_PER_SEC + head->ts.tv_usec * unit;
		tcp_segment(t, &segment);
	}
	return r < 0 ? -EIO : 0;
}

static int from_interface(const struct config_device *d, const char *interface, double seconds, struct tcp *t,
			  const struct streams *s)
{
	const struct sigaction action = { .sa_handler = stop };
	char filter[FILTER_MAX];
	pcap_t *p;
	int r;

	make_filter(d, filter);
	p = open_interface(interface, filter);
	if (!p)
		return -EIO;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	fprintf(stderr, "listening on %s for %s; Ctrl-C ends it\n", interface, d->name);
	r = listen_to(p, t, s, seconds);
	pcap_close(p);
	return r;
}

/* ------------------------------------------------ from a file */
static int from_file(const char *name, struct tcp *t)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	FILE *stream = fopen(name, "re");
	int r;

	if (!stream) {
		fprintf(stderr, "suntap: %s: %s\n", name, strerror(errno));
		return -errno;
	}
	r = capture_read(stream, t, error);
	if (r)
		fprintf(stderr, "suntap: %s: %s%s\n", name, error, r > 0 ? "; what stands before that is taken" : "");
	return r < 0 ? -EINVAL : 0;
}

/* ------------------------------------------------ the file */
static int mask(struct streams *s, struct streams_report *report)
{
	struct knowledge *k = NULL;
	int r = knowledge_installed(&k, NULL, NULL);

	if (r >= 0)
		r = streams_mask(s, k, report);
	knowledge_free(k);
	if (r < 0)
		fprintf(stderr, "suntap: can not mask: %s\n", strerror(-r));
	else if (report->too_private)
		fputs("suntap: more private things than can be masked: nothing is written\n", stderr);
	return report->too_private ? -E2BIG : r;
}

static void tell(const struct streams_report *r, bool masked)
{
	fprintf(stderr, "%zu stream%s, %zu bytes", r->streams, r->streams == 1 ? "" : "s", r->bytes);
	if (masked)
		fprintf(stderr, "; masked: %zu serial numbers, %zu names and passwords, %zu addresses", r->ids, r->texts,
			r->addresses);
	fputc('\n', stderr);
	if (r->full)
		fputs("not all of it: there was more than can be held\n", stderr);
	if (masked && (r->unknown_streams || r->unknown_frames))
		fprintf(stderr, "%zu streams and %zu frames are of kinds that nobody has described: there only what was found "
			"elsewhere is masked.\nLook at them before you share the file.\n", r->unknown_streams, r->unknown_frames);
}

static int write_file(struct streams *s, const char *name, bool masked, struct streams_report *report)
{
	/* Not over what is there, nor through somebody's link: this may run as root. */
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
	bool failed;

	if (!to) {
		fprintf(stderr, "suntap: %s: %s\n", name, strerror(errno));
		close_fd(fd);
		return 1;
	}
	streams_write(s, to, report);
	failed = ferror(to) || fflush(to);
	failed |= fclose(to) != 0;
	if (failed) {
		fprintf(stderr, "suntap: %s: %s\n", name, strerror(errno));
		unlink(name);
		return 1;
	}
	tell(report, masked);
	return 0;
}

static int run(const char *device, const char *from, const char *config_file, const char *interface, double seconds, bool masked,
	       const char *file)
{
	struct streams_report report = { .streams = 0 };
	struct streams *s = streams_new();
	struct tcp *t = s ? tcp_new(&streams_events, s) : NULL;
	struct config *c = NULL;
	const struct config_device *d = NULL;
	int r = t ? 0 : -ENOMEM;

	if (r == 0 && from) {
		r = from_file(from, t);
	} else if (r == 0) {
		r = config_load(&c, config_file, stderr);
		d = r < 0 ? NULL : find_device(c, device);
		if (r == 0 && !d) {
			fprintf(stderr, "suntap: no [device %s] in %s\n", device, config_file);
			r = -ENOENT;
		} else if (r == 0 && !interface && !*d->interface) {
			fprintf(stderr, "suntap: on which interface? --interface NAME, or interface = in [device %s]\n", device);
			r = -EINVAL;
		} else if (r == 0) {
			r = from_interface(d, interface ? interface : d->interface, seconds, t, s);
		}
	}
	tcp_free(t);
	if (r == 0 && !streams_bytes(s)) {
		fputs("suntap: nothing was said\n", stderr);
		r = -ENODATA;
	}
	if (r == 0 && masked)
		r = mask(s, &report);
	if (r == 0)
		r = write_file(s, file, masked, &report);
	streams_free(s);
	config_free(c);
	return r ? 1 : 0;
}

int capture_main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "mask", no_argument, NULL, 'm' },		{ "seconds", required_argument, NULL, 's' },
		{ "interface", required_argument, NULL, 'i' },	{ "config", required_argument, NULL, 'c' },
		{ "from", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *from = NULL, *config = CONFIG_FILE, *interface = NULL;
	double seconds = 0;
	bool masked = false;
	char *end;
	int c, words;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'm':
			masked = true;
			break;
		case 's':
			seconds = strtod(optarg, &end);
			if (end == optarg || *end || !(seconds > 0 && seconds < 1e8)) {
				fputs("suntap: --seconds: a number above 0\n", stderr);
				return 2;
			}
			break;
		case 'i':
			interface = optarg;
			break;
		case 'c':
			config = optarg;
			break;
		case 'f':
			from = optarg;
			break;
		default:
			return options_other(c, usage, "capture");
		}
	words = argc - optind;
	if (words != (from ? 1 : 2)) {
		usage(stderr);
		return 2;
	}
	return run(from ? NULL : argv[optind], from, config, interface, seconds, masked, argv[argc - 1]);
}
