/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c - what suntapd and the tools say of themselves; see log.h */
#include "shared/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/util.h"

static const char *log_ident = "suntap";
static int log_socket = -1;
static bool log_stderr = true;
static uint64_t log_dropped;

/* systemd sets JOURNAL_STREAM=DEVICE:INODE of the stderr that it connected to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       (unsigned long long)st.st_dev == device && (unsigned long long)st.st_ino == inode;
}

void log_open(const char *ident)
{
	log_ident = ident;
	log_stderr = !stderr_is_journal();
	if (log_socket < 0)
		log_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void append(char *buf, size_t size, size_t *used, const char *text)
{
	for (; *text && *used + 2 < size; text++)
		buf[(*used)++] = *text == '\n' ? ' ' : *text;
	buf[(*used)++] = '\n';
}

static int send_to_journal(int priority, const char *message_id, const char *const *fields, const char *text)
{
	static const struct sockaddr_un journal = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	char buf[8192], line[1100];
	size_t used = 0;

	snprintf(line, sizeof(line), "SYSLOG_IDENTIFIER=%s", log_ident);
	append(buf, sizeof(buf), &used, line);
	snprintf(line, sizeof(line), "PRIORITY=%d", priority);
	append(buf, sizeof(buf), &used, line);
	snprintf(line, sizeof(line), "MESSAGE=%s", text);
	append(buf, sizeof(buf), &used, line);
	if (message_id) {
		snprintf(line, sizeof(line), "MESSAGE_ID=%s", message_id);
		append(buf, sizeof(buf), &used, line);
	}
	for (; fields && *fields && used < sizeof(buf) - 1024; fields++)
		append(buf, sizeof(buf), &used, *fields);
	if (sendto(log_socket, buf, used, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&journal,
		   sizeof(journal)) < 0)
		return -errno;
	return 0;
}

void log_event(int priority, const char *message_id, const char *const *fields, const char *format, ...)
{
	char text[1000];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 80, format, args);
	va_end(args);
	if (n < 0)
		return;
	if (log_dropped)
		snprintf(text + strlen(text), 80, " (%llu messages before this one were lost: journald took none)",
			 (unsigned long long)log_dropped);
	if (log_stderr)
		fprintf(stderr, "%s: %s\n", log_ident, text);
	if (log_socket >= 0) {
		int e = send_to_journal(priority, message_id, fields, text);

		if (e == 0)
			log_dropped = 0;
		else if (e == -EAGAIN)
			log_dropped++;
	}
}

bool log_limit_pass(struct log_limit *l, uint64_t *ret_held_back)
{
	int64_t now = now_monotonic();

	if (l->interval > 0 && now - l->since >= l->interval) {
		int64_t refill = (now - l->since) / l->interval;

		l->used = refill >= l->used ? 0 : l->used - (unsigned)refill;
		l->since = now;
	}
	if (l->used >= l->burst) {
		l->held_back++;
		return false;
	}
	l->used++;
	if (ret_held_back)
		*ret_held_back = l->held_back;
	l->held_back = 0;
	return true;
}
