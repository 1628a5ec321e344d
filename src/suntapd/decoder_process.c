/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decoder_process.c - start the decoder, watch it, start it again; see decoder_process.h */
#include "suntapd/decoder_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/control.h"
#include "shared/log.h"
#include "shared/message_ids.h"
#include "suntapd/state_file.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MOST_MS = 30 * 1000,
	FAILURES_MOST = 5,		/* starts in a row that came to nothing; after more it counts as unable to start */
	BACKOFF_FAILED_MS = 10 * 60 * 1000,
	HEALTHY_S = 60,			/* after this long the next death starts with the first back-off again */
	HANG_S = 30,			/* no progress with something to read */
	DEATHS_MOST = 4,		/* within a second of the start, one after the other */
	LAST_WORDS_MS = 2000,
};

struct decoder_process {
	sd_event *event;
	struct ring *ring;
	struct flows *flows;
	char program[PATH_MAX];
	pid_t pid;			/* 0: not running */
	int control;
	int state;			/* file of what is known of devices; outlives each decoder */
	sd_event_source *child, *messages, *again;
	bool ready, hung;
	unsigned backoff_ms, deaths_in_a_row;
	unsigned failures;		/* starts in a row of which none got as far as being locked in */
	int64_t started, moved;		/* monotonic */
	uint64_t restarts;
	uint64_t head_seen, beat_seen;
	uint64_t death_head;		/* where it died last, +1 */
	struct log_limit deaths, failed;
};

static int start(struct decoder_process *p);

/* Beside our own program where it runs from its build folder, else where `make install` puts it. */
static void find_program(char ret[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - sizeof("suntap-decoder"));

	if (n > 0) {
		ret[n] = '\0';
		strcpy(strrchr(ret, '/') + 1, "suntap-decoder");
		if (access(ret, X_OK) == 0)
			return;
	}
	strcpy(ret, SUNTAP_LIBEXEC "/suntap-decoder");
}

/* Where memory is short it is the decoder that goes. A process that is not dumpable may not even change its own entry. */
static void offer_to_oom_killer(void)
{
	int fd;

	prctl(PR_SET_DUMPABLE, 1);	/* as it is after exec, too, until the decoder locks itself in */
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1000", 4) < 0)
		return;		/* the kernel chooses by size, then */
	close(fd);
}

/* In the new process: only async-signal-safe calls. fds in the order of enum control_fd. */
static void become_decoder(const struct decoder_process *p, int *fds)
{
	const char *arguments[] = { "suntap-decoder", NULL };
	sigset_t none;
	int null;

	/* first out of the way, so that no descriptor is overwritten before it is moved */
	for (int i = 0; i < CONTROL_FD_END - CONTROL_FD_RING; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, CONTROL_FD_END);
		if (fds[i] < 0)
			_exit(EXIT_FAILURE);
	}
	for (int i = 0; i < CONTROL_FD_END - CONTROL_FD_RING; i++)
		if (dup2(fds[i], CONTROL_FD_RING + i) < 0)
			_exit(EXIT_FAILURE);
	null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (close_range(CONTROL_FD_END, ~0U, 0) < 0)
		_exit(EXIT_FAILURE);
	offer_to_oom_killer();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* as a user other than root nothing else would give our capability to what is executed */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	execv(p->program, (char *const *)(uintptr_t)arguments);
	_exit(127);
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct decoder_process *p = userdata;

	(void)revents;
	for (int i = 0; i < 64; i++) {
		struct control_message m;
		ssize_t n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			/* it closed its end: its death, which comes next, is dealt with there */
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
			return 0;
		}
		if (n < 0)
			return 0;
		if (n != sizeof(m))
			continue;
		if (m.kind == CONTROL_READY)
			p->ready = true;
		else if (m.kind == CONTROL_UNTAP)
			flows_untap(p->flows, m.flow);
	}
	return 0;
}

static void clean_up(struct decoder_process *p)
{
	p->messages = sd_event_source_disable_unref(p->messages);
	p->child = sd_event_source_disable_unref(p->child);
	p->control = close_fd(p->control);
	p->pid = 0;
	p->ready = false;
}

static void start_later(struct decoder_process *p)
{
	unsigned most = p->failures > FAILURES_MOST ? BACKOFF_FAILED_MS : BACKOFF_MOST_MS;

	sd_event_source_set_time_relative(p->again, p->backoff_ms * UINT64_C(1000));
	sd_event_source_set_enabled(p->again, SD_EVENT_ONESHOT);
	p->backoff_ms = p->backoff_ms * 2 < most ? p->backoff_ms * 2 : most;
}

/*
 * Twice dead at the same record: that record is what it dies of, so it is left out, which shows as a gap by its
 * offset. Dead again and again at once: whatever it is, all that is unread is left out.
 */
static uint64_t leave_out_poison(struct decoder_process *p)
{
	uint64_t lost = 0, head = p->ring->tail - ring_unread(p->ring);

	p->deaths_in_a_row = now_monotonic() - p->started < NSEC_PER_SEC ? p->deaths_in_a_row + 1 : 0;
	if (ring_broken(p->ring) || p->deaths_in_a_row > DEATHS_MOST)
		lost = ring_reset_reader(p->ring);
	else if (p->death_head == head + 1 && ring_unread(p->ring) > 0)
		lost = ring_skip_one(p->ring);
	p->death_head = head + 1;
	ring_next_reader(p->ring);
	return lost;
}

static int on_death(sd_event_source *source, const siginfo_t *si, void *userdata)
{
	struct decoder_process *p = userdata;
	char how[64], fields[2][64];
	const char *list[] = { fields[0], fields[1], NULL };
	uint64_t lost, held_back;

	(void)source;
	if (p->hung)
		snprintf(how, sizeof(how), "hung for %d s and was ended", HANG_S);
	else if (si->si_code == CLD_EXITED && si->si_status == 127)
		snprintf(how, sizeof(how), "could not be executed");
	else if (si->si_code == CLD_EXITED)
		snprintf(how, sizeof(how), "ended with status %d", si->si_status);
	else
		snprintf(how, sizeof(how), "was killed by signal %d (%s)", si->si_status, strsignal(si->si_status));
	if (p->ready) {
		if (now_monotonic() - p->started > HEALTHY_S * NSEC_PER_SEC || p->failures > FAILURES_MOST)
			p->backoff_ms = BACKOFF_FIRST_MS;
		p->failures = p->failed.used = 0;
	} else {
		p->failures++;
	}
	clean_up(p);
	lost = leave_out_poison(p);
	p->restarts++;
	snprintf(fields[0], sizeof(fields[0]), "SUNTAP_RESTARTS=%llu", (unsigned long long)p->restarts);
	snprintf(fields[1], sizeof(fields[1]), "SUNTAP_LOST=%llu", (unsigned long long)lost);
	if (p->failures > FAILURES_MOST) {
		if (log_limit_pass(&p->failed, NULL))
			log_event(LOG_ERR, MESSAGE_ID_DECODER_RESTARTED, list,
				  "The decoder can not start: %s %s, %u times in a row. What it says of it: journalctl "
				  "_COMM=suntap-decoder; if that is nothing, suntap is not installed whole. It is tried again, "
				  "in the end every 10 minutes, and told once an hour. The relay goes on, nothing is decoded.",
				  p->program, how, p->failures);
	} else if (log_limit_pass(&p->deaths, &held_back)) {
		log_event(LOG_WARNING, MESSAGE_ID_DECODER_RESTARTED, list,
			  "The decoder %s; starting it again in %u ms (%llu bytes of the ring left out). "
			  "The relay goes on.", how, p->backoff_ms, (unsigned long long)lost);
	}
	start_later(p);
	return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct decoder_process *p = userdata;
	int e;

	(void)source, (void)usec;
	e = start(p);
	if (e < 0) {
		p->failures++;
		if (log_limit_pass(&p->failed, NULL))
			log_error("can not start the decoder: %s; it is tried again, and told once an hour", strerror(-e));
		start_later(p);
	}
	return 0;
}

static int start(struct decoder_process *p)
{
	int CLEANUP(closep) ring = -1, CLEANUP(closep) flows = -1, CLEANUP(closep) theirs = -1;
	int pair[2], e;

	ring = ring_reader_fd(p->ring);
	if (ring < 0)
		return ring;
	flows = flows_table_fd(p->flows);
	if (flows < 0)
		return flows;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	p->control = pair[0];
	theirs = pair[1];
	e = sd_event_add_io(p->event, &p->messages, p->control, EPOLLIN, on_message, p);
	if (e < 0)
		goto fail;
	p->pid = fork();
	if (p->pid < 0) {
		e = -errno;
		p->pid = 0;
		goto fail;
	}
	if (p->pid == 0) {
		int fds[] = { ring, p->ring->fds.head, p->ring->fds.bell, theirs, flows, p->state };

		_Static_assert(ARRAY_SIZE(fds) == CONTROL_FD_END - CONTROL_FD_RING, "one for each enum control_fd");
		become_decoder(p, fds);
	}
	p->started = p->moved = now_monotonic();
	p->hung = false;
	e = sd_event_add_child(p->event, &p->child, p->pid, WEXITED, on_death, p);
	if (e < 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		goto fail;
	}
	return 0;
fail:
	clean_up(p);
	return e;
}

void decoder_process_check(struct decoder_process *p)
{
	const struct ring_head *reader = p->ring->reader;
	uint64_t head = atomic_load(&reader->head), beat = atomic_load(&reader->beat);
	uint32_t state = atomic_load(&reader->state);
	int64_t now = now_monotonic();
	bool waits_for_journal = state == READER_JOURNAL || state == READER_NO_JOURNAL;

	if (p->pid == 0)
		return;
	if (ring_broken(p->ring)) {
		log_warning("the decoder wrote nonsense into its page of the ring: ending it");
		kill(p->pid, SIGKILL);
		return;
	}
	if (head != p->head_seen || beat != p->beat_seen || ring_unread(p->ring) == 0) {
		p->head_seen = head;
		p->beat_seen = beat;
		p->moved = now;
	} else if (now - p->moved > HANG_S * NSEC_PER_SEC && !waits_for_journal && !p->hung) {
		p->hung = true;
		kill(p->pid, SIGKILL);
	}
}

void decoder_process_get_stats(const struct decoder_process *p, struct decoder_stats *ret)
{
	const struct ring_head *reader = p->ring->reader;
	uint32_t state = atomic_load(&reader->state);

	*ret = (struct decoder_stats){
		.readings = atomic_load(&reader->readings), .frames_good = atomic_load(&reader->frames_good),
		.frames_bad = atomic_load(&reader->frames_bad), .gaps = atomic_load(&reader->gaps),
		.restarts = p->restarts, .running = p->pid != 0, .ready = p->ready,
		.no_journal = state == READER_NO_JOURNAL,
		.journal_stuck = state == READER_JOURNAL && now_monotonic() - p->moved > 5 * NSEC_PER_SEC,
	};
}

int decoder_process_new(struct decoder_process **ret, sd_event *event, struct ring *ring, struct flows *flows)
{
	struct decoder_process *p = calloc(1, sizeof(*p));
	int e;

	if (!p)
		return -ENOMEM;
	*p = (struct decoder_process){
		.event = sd_event_ref(event), .ring = ring, .flows = flows, .control = -1, .state = -1, .backoff_ms = BACKOFF_FIRST_MS,
		.deaths = { .burst = 10, .interval = 60 * NSEC_PER_SEC }, .failed = { .burst = 1, .interval = 3600 * NSEC_PER_SEC },
	};
	find_program(p->program);
	e = access(p->program, X_OK) < 0 ? -errno : 0;
	if (e == 0) {
		p->state = state_file_open();
		e = p->state < 0 ? p->state : 0;
	}
	if (e == 0)
		e = sd_event_add_time_relative(event, &p->again, CLOCK_MONOTONIC, 0, 1000, on_again, p);
	if (e >= 0)
		e = sd_event_source_set_enabled(p->again, SD_EVENT_OFF);
	if (e >= 0)
		e = start(p);
	if (e < 0) {
		decoder_process_free(p);
		return e;
	}
	*ret = p;
	return 0;
}

struct decoder_process *decoder_process_free(struct decoder_process *p)
{
	if (!p)
		return NULL;
	p->again = sd_event_source_disable_unref(p->again);
	p->child = sd_event_source_disable_unref(p->child);
	p->messages = sd_event_source_disable_unref(p->messages);
	p->control = close_fd(p->control);	/* tells it to finish */
	if (p->pid > 0) {
		siginfo_t si = { 0 };

		for (int waited = 0; waited < LAST_WORDS_MS; waited += 10) {
			if (waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG) < 0 || si.si_pid == p->pid)
				break;
			usleep(10 * 1000);
		}
		if (si.si_pid != p->pid) {
			kill(p->pid, SIGKILL);
			waitid(P_PID, (id_t)p->pid, &si, WEXITED);
		}
	}
	p->state = close_fd(p->state);
	sd_event_unref(p->event);
	free(p);
	return NULL;
}
