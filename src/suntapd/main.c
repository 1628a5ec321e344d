/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - suntapd: configuration, ring, flows, decoder, listeners, rules, loop; and the same list backwards
 *
 * The only process with a capability (CAP_NET_ADMIN). It makes connections and moves bytes; it never looks at one.
 *
 * Event sources, all of them:
 *	signals     SIGTERM, SIGINT: stop; SIGHUP: read the configuration again; SIGCHLD: the decoder died
 *	listeners   a device connects                            listener.c
 *	flows       their own epoll set: sockets                 flow.c
 *	resolver    an answer for a direct upstream              resolver.c
 *	decoder     what it tells (struct control_message)       decoder_process.c
 *	rules       somebody changed rules or routes of ours     here, rules.c
 *	firewall    other programs' rules, while they are read   firewall.c
 *	systemd     reads again, or wants to hear that all is well   notify.c
 *	timers      housekeeping and status here; connecting and resetting flows in flow.c
 *
 * The rules come last and go first: a device is brought here only while there is somebody to take its connection.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "shared/config.h"
#include "shared/log.h"
#include "shared/message_ids.h"
#include "shared/ring.h"
#include "suntapd/confine.h"
#include "suntapd/decoder_process.h"
#include "suntapd/firewall.h"
#include "suntapd/flow.h"
#include "suntapd/listener.h"
#include "suntapd/notify.h"
#include "suntapd/rules.h"
#include "suntapd/store.h"

enum {
	EXIT_CONFIG = 78,		/* EX_CONFIG: systemd shows it as such, and does not restart for it */
	RESERVED_FILES = 96,		/* listeners, netlink, ring, decoder, resolver, lookups … */
	BACKLOG_SHARE = 32,
	HOUSEKEEPING_MS = 5000,
	WINDOWS_MS = 60 * 1000,		/* in this time all flows were looked after, or sooner where user_timeout is short */
	STORE_PATIENCE_MS = 2000,	/* before a restart: what is not in the store then is lost */
	REPAIR_DELAY_MS = 100,		/* a flush of the ruleset comes as many events */
	ASIDE_S = 600,			/* for so long a firewall that drops what we take is not tried again */
	FOREIGN_S = 10,			/* other programs' rules are not read more often */
};

struct daemon {
	const char *config_path;
	struct config *config;
	sd_event *event;
	struct ring ring;
	struct flows *flows;
	struct decoder_process *decoder;
	struct listeners *listeners;
	struct rules *rules;
	sd_event_source *housekeeping, *rules_changed, *repair;
	struct firewall *firewall;
	int64_t foreign_read;		/* monotonic: when other programs' rules were looked through */
	struct log_limit repairs, blocks;
	char status[256];
};

static void usage(FILE *out)
{
	fprintf(out,
		"usage: suntapd [--config FILE]           run in the foreground\n"
		"       suntapd --check [FILE]            read a configuration and print what was understood\n"
		"       suntapd --print-rules [FILE]      print the kernel's rules, in nft syntax\n"
		"       suntapd --help | --version\n"
		"\n"
		"Taps the connections of solar inverters to their makers' clouds and writes what they measure to the\n"
		"journal: journalctl -t suntap. FILE is " CONFIG_FILE " unless given. See suntapd(8), suntap.ini(5).\n");
}

static void flows_options_of(const struct config *c, struct flows_options *ret)
{
	unsigned files = flows_limit_by_files(RESERVED_FILES + c->device_count * 2);
	unsigned stored = store_flows_max(c->device_count * 2 + 2);
	unsigned possible = files < stored ? files : stored;
	/* the rest is for connections that are in the listeners' backlogs when the limit is reached */
	unsigned most = possible - possible / BACKLOG_SHARE;

	*ret = (struct flows_options){
		.limit = c->max_flows && c->max_flows < most ? c->max_flows : most,
		.limit_later = possible,
		.connect_timeout = c->connect_timeout,
		.patience = { .keepalive = c->keepalive, .user_timeout = c->user_timeout },
	};
}

/* ---------------------------------------------------------------- status */
static void tell_status(struct daemon *d)
{
	struct flows_stats f;
	struct decoder_stats s;
	const char *trouble = "";
	char text[sizeof(d->status)];

	flows_get_stats(d->flows, &f);
	decoder_process_get_stats(d->decoder, &s);
	if (s.no_journal)
		trouble = "; no journald is listening: readings wait, then are lost";
	else if (s.journal_stuck)
		trouble = "; journald does not take entries: readings wait, then are lost";
	else if (!s.running)
		trouble = "; the decoder is being started again";
	else if (listeners_are_aside(d->listeners))
		trouble = "; a firewall drops devices' connections to suntapd: new ones go straight to the cloud";
	snprintf(text, sizeof(text), "STATUS=%u flow%s of at most %u, %" PRIu64 " reading%s%s", f.now, f.now == 1 ? "" : "s", f.limit,
		 s.readings, s.readings == 1 ? "" : "s", trouble);
	if (strcmp(text, d->status) != 0) {
		strcpy(d->status, text);
		notify_state(text);
	}
}

/* ---------------------------------------------------------------- other programs' rules */
/* The device comes first: what we take and then do not get is better not taken. */
static void look_for_losses(struct daemon *d)
{
	uint64_t lost = firewall_lost(d->firewall);
	char CLEANUP(freep) *cause = NULL;

	if (lost == 0)
		return;
	listeners_stand_aside(d->listeners, ASIDE_S);
	if (!log_limit_pass(&d->blocks, NULL))
		return;
	cause = firewall_cause(d->config);
	log_event(LOG_WARNING, MESSAGE_ID_RULES_CONFLICT, NULL, "Connections of devices are dropped before they reach suntapd, %s. "
		  "For %d minutes new ones go straight to the cloud", cause ? cause : "by a firewall", ASIDE_S / 60);
}

static void on_foreign_mark(const char *text)
{
	log_event(LOG_WARNING, MESSAGE_ID_RULES_CONFLICT, NULL, "Another program uses suntap's packet mark: %s", text);
}

static void look_for_foreign_marks(struct daemon *d, const struct config *c)
{
	d->foreign_read = now_monotonic();
	firewall_read(d->firewall, c);
}

static int on_housekeeping(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *d = userdata;
	unsigned often = d->config->user_timeout * 1000 / 4, round = often < WINDOWS_MS ? often : WINDOWS_MS;

	(void)usec;
	often = often < HOUSEKEEPING_MS ? often : HOUSEKEEPING_MS;
	flows_mind_windows(d->flows, round / often);
	flows_tell_gaps(d->flows);
	decoder_process_check(d->decoder);
	look_for_losses(d);
	if (now_monotonic() - d->foreign_read > FOREIGN_S * NSEC_PER_SEC && rules_others_changed(d->rules))
		look_for_foreign_marks(d, d->config);
	tell_status(d);
	sd_event_source_set_time_relative(source, often * UINT64_C(1000));
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* ---------------------------------------------------------------- rules */
static int on_repair(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *d = userdata;
	char CLEANUP(freep) *what = NULL;
	int e = rules_repair(d->rules, &what);

	(void)source, (void)usec;
	if (e == 0 || !log_limit_pass(&d->repairs, NULL))
		return 0;
	if (e > 0)
		log_event(LOG_WARNING, MESSAGE_ID_RULES_REPAIRED, NULL, "Somebody removed rules of ours; put back: %s",
			  what ? what : "?");
	else if (e == -EBUSY)
		log_event(LOG_WARNING, MESSAGE_ID_RULES_CONFLICT, NULL, "Another program uses what is suntap's: %s", what ? what : "?");
	else
		log_error("rules of ours are gone and can not be put back: %s", what ? what : strerror(-e));
	return 0;
}

static int on_rules_changed(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct daemon *d = userdata;

	(void)source, (void)fd, (void)revents;
	sd_event_source_set_time_relative(d->repair, REPAIR_DELAY_MS * UINT64_C(1000));
	sd_event_source_set_enabled(d->repair, SD_EVENT_ONESHOT);
	sd_event_source_set_enabled(d->rules_changed, SD_EVENT_OFF);
	return 0;
}

static int after_repair(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *d = userdata;
	int e = on_repair(source, usec, userdata);

	sd_event_source_set_enabled(d->rules_changed, SD_EVENT_ON);
	return e;
}

static void tell_remark(const struct daemon *d)
{
	const char *remark = rules_remark(d->rules);

	if (remark)
		log_info("%s", remark);
}

static int watch_rules(struct daemon *d)
{
	int fd = rules_monitor_fd(d->rules), e;

	if (fd < 0)
		return 0;	/* rules = manual: nothing of ours is there */
	e = sd_event_add_time_relative(d->event, &d->repair, CLOCK_MONOTONIC, 0, 1000, after_repair, d);
	if (e >= 0)
		e = sd_event_source_set_enabled(d->repair, SD_EVENT_OFF);
	if (e >= 0)
		e = sd_event_add_io(d->event, &d->rules_changed, fd, EPOLLIN, on_rules_changed, d);
	return e;
}

/* ---------------------------------------------------------------- signals */
static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	(void)si, (void)userdata;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* All or nothing: the new configuration is in force, or the old one still is. */
static int reload(struct daemon *d, struct config *c, char **why)
{
	struct flows_options options;
	char *undo = NULL;
	int e;

	if (c->ring_size != d->config->ring_size)
		log_warning("`ring_size` changes only with a stop and a start");
	e = listeners_update(d->listeners, c, why);
	if (e < 0)
		return e;
	e = rules_update(d->rules, c, why);
	if (e < 0) {
		if (listeners_update(d->listeners, d->config, &undo) < 0)
			log_error("can not open the old listeners again: %s", undo ? undo : "?");
		free(undo);
		return e;
	}
	tell_remark(d);
	look_for_foreign_marks(d, c);
	flows_options_of(c, &options);
	flows_set_options(d->flows, &options);
	listeners_look_for_room(d->listeners);
	return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct daemon *d = userdata;
	struct config *c = NULL;
	char CLEANUP(freep) *complaints = NULL;
	char CLEANUP(freep) *why = NULL;
	size_t size = 0;
	char reloading[64];
	FILE *errors;
	int e;

	(void)source, (void)si;
	snprintf(reloading, sizeof(reloading), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, now_monotonic() / 1000);
	notify_state(reloading);
	errors = open_memstream(&complaints, &size);
	if (!errors) {
		e = -errno;
	} else {
		e = config_load(&c, d->config_path, errors);
		fclose(errors);
	}
	if (e >= 0)
		e = reload(d, c, &why);
	if (e < 0) {
		log_event(LOG_ERR, MESSAGE_ID_CONFIG_REFUSED, NULL, "The old configuration stays in force: %s",
			  why ? why : complaints && *complaints ? complaints : strerror(-e));
		config_free(c);
	} else {
		config_free(d->config);
		d->config = c;
		log_event(LOG_INFO, MESSAGE_ID_CONFIG_RELOADED, NULL, "%s was read again: %zu device%s", d->config_path,
			  c->device_count, c->device_count == 1 ? "" : "s");
	}
	notify_state("READY=1");
	d->status[0] = '\0';
	tell_status(d);
	return 0;
}

/* ---------------------------------------------------------------- the list, forwards and backwards */
/* With what the suntapd before left unread, if there was one. */
static int open_ring(struct daemon *d)
{
	const struct ring_fds kept = { store_take("ring"), store_take("ring-head"), store_take("bell") };
	bool adopted = ring_adopt(&d->ring, &kept) == 0;
	int e = adopted ? 0 : ring_open(&d->ring, d->config->ring_size);

	if (e < 0)
		return e;
	store_remove("ring-head");
	if (!adopted) {
		store_remove("ring");
		store_remove("bell");
		store_put(d->ring.fds.ring, "ring");
		store_put(d->ring.fds.bell, "bell");
	}
	store_put(d->ring.fds.head, "ring-head");
	return 0;
}

static int start(struct daemon *d, char **why)
{
	struct flows_options options;
	unsigned restored;
	int e;

	e = sd_event_default(&d->event);
	if (e < 0)
		return e;
	e = notify_attach(d->event);
	if (e >= 0)
		e = sd_event_add_signal(d->event, NULL, SIGTERM, on_stop, d);
	if (e >= 0)
		e = sd_event_add_signal(d->event, NULL, SIGINT, on_stop, d);
	if (e >= 0)
		e = sd_event_add_signal(d->event, NULL, SIGHUP, on_reload, d);
	if (e >= 0)
		e = sd_event_add_time_relative(d->event, &d->housekeeping, CLOCK_MONOTONIC, 1000000, 1000000, on_housekeeping, d);
	if (e >= 0)
		e = open_ring(d);
	if (e < 0)
		return e;
	flows_options_of(d->config, &options);
	e = flows_new(&d->flows, d->event, &d->ring, &options);
	if (e < 0)
		return e;
	e = decoder_process_new(&d->decoder, d->event, &d->ring, d->flows);
	if (e < 0) {
		if (asprintf(why, "can not start suntap-decoder: %s (it belongs beside suntapd or into %s)", strerror(-e),
			     SUNTAP_LIBEXEC) < 0)
			*why = NULL;
		return e;
	}
	e = listeners_new(&d->listeners, d->event, d->flows, d->config, why);
	if (e < 0)
		return e;
	e = rules_install(&d->rules, d->config, why);
	if (e < 0)
		return e;
	tell_remark(d);
	e = firewall_new(&d->firewall, d->event, on_foreign_mark);
	if (e < 0)
		return e;
	look_for_foreign_marks(d, d->config);
	restored = flows_restore(d->flows);
	if (restored)
		log_info("%u flow%s of the suntapd before go on", restored, restored == 1 ? "" : "s");
	listeners_look_for_room(d->listeners);
	store_drop_untaken();
	e = watch_rules(d);
	return e < 0 ? e : confine();
}

static void stop(struct daemon *d)
{
	d->rules_changed = sd_event_source_disable_unref(d->rules_changed);
	d->repair = sd_event_source_disable_unref(d->repair);
	d->firewall = firewall_free(d->firewall);
	d->rules = rules_remove(d->rules, false);
	d->listeners = listeners_free(d->listeners);
	d->flows = flows_free(d->flows);
	d->decoder = decoder_process_free(d->decoder);
	ring_close(&d->ring);
	d->housekeeping = sd_event_source_disable_unref(d->housekeeping);
	notify_detach();
	d->event = sd_event_unref(d->event);
	d->config = config_free(d->config);
}

static int run(const char *config_path)
{
	struct daemon d = {
		.config_path = config_path, .ring.fds = { -1, -1, -1 },
		.repairs = { .burst = 5, .interval = 60 * NSEC_PER_SEC },
		.blocks = { .burst = 2, .interval = 3600 * NSEC_PER_SEC },
	};
	char CLEANUP(freep) *why = NULL;
	sigset_t signals;
	int e;

	e = config_load(&d.config, config_path, stderr);
	if (e < 0) {
		/* nor does systemd try again: it ends the flows that it has kept */
		if (notify_open() >= 0)
			store_open();
		rules_remove_leftovers();
		return EXIT_CONFIG;
	}
	sigemptyset(&signals);
	for (size_t i = 0; i < 4; i++)
		sigaddset(&signals, (const int[]){ SIGTERM, SIGINT, SIGHUP, SIGCHLD }[i]);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0);
	log_open("suntap");
	e = notify_open();
	if (e >= 0)
		e = store_open();
	if (e < 0)
		log_warning("can not use systemd's file descriptor store: %s; a restart will end all flows", strerror(-e));

	e = start(&d, &why);
	if (e < 0) {
		log_error("%s", why ? why : strerror(-e));
		/* the flows of the suntapd before are not ours yet: the next one may have more luck */
		store_leave();
		stop(&d);
		return EXIT_FAILURE;
	}
	log_info("suntapd " SUNTAP_VERSION " is up: %zu device%s", d.config->device_count, d.config->device_count == 1 ? "" : "s");
	notify_state("READY=1");
	tell_status(&d);
	e = flows_loop(d.flows);
	notify_state("STOPPING=1");
	if (e < 0)
		log_error("the event loop failed: %s", strerror(-e));
	if (store_is_restart()) {
		notify_flush(STORE_PATIENCE_MS);
		/* the store keeps the flows, and these tables the packets on their way to them */
		rules_remove(d.rules, true);
		return EXIT_SUCCESS;
	}
	stop(&d);
	return e < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "print-rules", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	const char *path = CONFIG_FILE;
	struct config *c = NULL;
	int mode = 0, o;

	while ((o = getopt_long(argc, argv, "c:hv", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			path = optarg;
			break;
		case 'k':
		case 'p':
			mode = o;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts("suntapd " SUNTAP_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (mode && optind < argc)
		path = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "suntapd: what is \"%s\"?\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	if (!mode)
		return run(path);
	if (config_load(&c, path, stderr) < 0)
		return EXIT_CONFIG;
	if (mode == 'k')
		config_print(c, stdout);
	else
		rules_print(c, stdout);
	config_free(c);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "suntapd: standard output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}
