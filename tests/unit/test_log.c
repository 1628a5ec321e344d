/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_log.c - events reach journald whole and in one line a field, and nobody ever waits for it */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/util.h"

static int journal = -1;	/* the socket of a journald that the test plays */

/* An empty /run of our own, so that the fixed path leads here. Not possible everywhere. */
static bool private_run(void)
{
	static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };

	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0)
		return false;
	mkdir("/run/systemd", 0755);
	mkdir("/run/systemd/journal", 0755);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return bind(journal, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static char *next_entry(void)
{
	static char entry[65536];
	ssize_t n = recv(journal, entry, sizeof(entry) - 1, 0);

	if (n < 0)
		return NULL;
	entry[n] = '\0';
	return entry;
}

static void whole_entries(void **state)
{
	static const char *const fields[] = { "SUNTAP_A=1", "SUNTAP_B=two\nMESSAGE=forged", NULL };
	char *entry;

	(void)state;
	if (journal < 0)
		skip();
	log_event(LOG_WARNING, "0123456789abcdef0123456789abcdef", fields, "hello\nPRIORITY=0 %d", 5);
	entry = next_entry();
	assert_non_null(entry);
	assert_string_equal(entry, "SYSLOG_IDENTIFIER=test\nPRIORITY=4\nMESSAGE=hello PRIORITY=0 5\n"
			    "MESSAGE_ID=0123456789abcdef0123456789abcdef\nSUNTAP_A=1\nSUNTAP_B=two MESSAGE=forged\n");
}

static void too_long(void **state)
{
	char *big = malloc(100 * 1000), *entry, *message;
	const char *fields[] = { "SUNTAP_FIRST=1", big, "SUNTAP_LAST=1", NULL };

	(void)state;
	if (journal < 0)
		skip();
	memset(big, 'x', 100 * 1000 - 1);
	big[100 * 1000 - 1] = '\0';
	memcpy(big, "SUNTAP_BIG=", 11);
	log_event(LOG_INFO, NULL, fields, "%s", big);
	entry = next_entry();
	assert_non_null(entry);
	message = strstr(entry, "MESSAGE=");
	assert_non_null(message);
	assert_true(strchr(message, '\n') - message > 800);
	assert_true(strlen(entry) < 8192 + 1);
	assert_non_null(strstr(entry, "\nSUNTAP_FIRST=1\n"));
	assert_int_equal(entry[strlen(entry) - 1], '\n');
	free(big);
}

/* Nobody reads: each call comes back at once, and the loss is told when somebody does. */
static void nobody_waits(void **state)
{
	int64_t began = now_monotonic();
	unsigned entries = 0, told = 0;
	char *entry;

	(void)state;
	if (journal < 0)
		skip();
	for (int i = 0; i < 5000; i++)
		log_info("event %d", i);
	assert_true(now_monotonic() - began < 5 * NSEC_PER_SEC);
	while ((entry = next_entry()))
		entries++;
	assert_true(entries > 0 && entries < 5000);
	log_info("the next");
	entry = next_entry();
	assert_non_null(entry);
	assert_int_equal(sscanf(strstr(entry, "MESSAGE="), "MESSAGE=the next (%u messages before this one were lost", &told), 1);
	assert_int_equal(entries + told, 5000);
	log_info("after that");
	assert_null(strstr(next_entry(), "lost"));
}

static void nobody_there(void **state)
{
	(void)state;
	if (journal < 0)
		skip();
	close(journal);
	journal = -1;
	for (int i = 0; i < 10; i++)
		log_info("nobody hears this");
}

static void limits(void **state)
{
	struct log_limit l = { .burst = 3, .interval = 50 * NSEC_PER_MSEC };
	uint64_t held_back = 99;
	int passed = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		passed += log_limit_pass(&l, &held_back);
	assert_int_equal(passed, 3);
	assert_int_equal(held_back, 0);
	usleep(60 * 1000);
	assert_true(log_limit_pass(&l, &held_back));
	assert_int_equal(held_back, 97);	/* what was not said is counted in what is */
	assert_false(log_limit_pass(&l, NULL));
	usleep(1000 * 1000);
	passed = 0;
	for (int i = 0; i < 100; i++)
		passed += log_limit_pass(&l, NULL);
	assert_int_equal(passed, 3);		/* a long silence allows no more than the burst */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_entries), cmocka_unit_test(too_long), cmocka_unit_test(nobody_waits),
		cmocka_unit_test(nobody_there), cmocka_unit_test(limits),
	};
	char stream[64];
	struct stat st;

	if (!private_run())
		fprintf(stderr, "test_log: no mount namespace of our own here: tests with a journal are skipped\n");
	/* systemd's way to say that standard error is the journal: then the lines do not go there a second time */
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("test");
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
