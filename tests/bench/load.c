/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load.c - the ends of the benchmark: cheap to run, so that what stands between them shows
 *
 *	load sink ADDR PORT                    accept, read, throw away
 *	load echo ADDR PORT                    accept, send back what came
 *	load hold ADDR PORT                    accept and keep
 *	load source ADDR PORT SECONDS FLOWS [FILE]  send as fast as it goes, zeros or the file again and again; prints
 *	                                       bytes and seconds
 *	load ping ADDR PORT COUNT SIZE         one message after the other; prints round-trip times in us
 *	load rate ADDR PORT SECONDS PARALLEL   open, one message there and back, reset; prints how many a second
 *	load idle ADDR PORT FLOWS              open so many and keep them; prints how many, ends with standard input
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[256 * 1024];

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static int dial(const struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void serve(const char *mode, const struct sockaddr_in *a)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, e = epoll_create1(0);
	struct epoll_event events[64], add = { .events = EPOLLIN, .data.fd = listener };

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (const struct sockaddr *)a, sizeof(*a)) < 0 || listen(listener, 4096) < 0)
		die("listen");
	epoll_ctl(e, EPOLL_CTL_ADD, listener, &add);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(e, events, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t got;

			if (fd == listener) {
				add.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
				if (add.data.fd < 0)
					continue;
				setsockopt(add.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
				if (strcmp(mode, "hold") != 0)
					epoll_ctl(e, EPOLL_CTL_ADD, add.data.fd, &add);
				continue;
			}
			got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
			if (got > 0 && strcmp(mode, "echo") == 0)
				for (ssize_t done = 0; done < got;) {
					ssize_t put = send(fd, buffer + done, (size_t)(got - done), MSG_NOSIGNAL);

					if (put <= 0)
						break;
					done += put;
				}
			if (got == 0 || (got < 0 && errno != EAGAIN))
				close(fd);
		}
	}
}

/* Whole copies of the file, as many as fit. */
static size_t fill_from(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n, used;

	if (!f)
		die(path);
	n = fread(buffer, 1, sizeof(buffer), f);
	fclose(f);
	if (n == 0)
		die(path);
	for (used = n; used + n <= sizeof(buffer); used += n)
		memcpy(buffer + used, buffer, n);
	return used;
}

static void source(const struct sockaddr_in *a, double seconds, int flows, const char *path)
{
	struct pollfd *p = calloc((size_t)flows, sizeof(*p));
	size_t *place = calloc((size_t)flows, sizeof(*place)), size = path ? fill_from(path) : sizeof(buffer);
	double start, end;
	uint64_t bytes = 0;

	for (int i = 0; i < flows; i++)
		p[i] = (struct pollfd){ .fd = dial(a), .events = POLLOUT };
	start = now();
	do {
		poll(p, (nfds_t)flows, 1000);
		for (int i = 0; i < flows; i++) {
			ssize_t n;

			if (!(p[i].revents & POLLOUT))
				continue;
			n = send(p[i].fd, buffer + place[i], size - place[i], MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0) {
				bytes += (uint64_t)n;
				place[i] = (place[i] + (size_t)n) % size;
			} else if (n < 0 && errno != EAGAIN) {
				die("send");
			}
		}
		end = now();
	} while (end - start < seconds);
	printf("%llu %.6f\n", (unsigned long long)bytes, end - start);
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void ping(const struct sockaddr_in *a, int count, size_t size)
{
	double *t = calloc((size_t)count, sizeof(*t));
	int fd = dial(a);

	for (int i = -count / 10; i < count; i++) {
		double start = now();

		if (send(fd, buffer, size, MSG_NOSIGNAL) != (ssize_t)size || recv(fd, buffer, size, MSG_WAITALL) != (ssize_t)size)
			die("ping");
		if (i >= 0)
			t[i] = (now() - start) * 1e6;
	}
	qsort(t, (size_t)count, sizeof(*t), by_time);
	printf("%.2f %.2f %.2f\n", t[count / 2], t[count * 9 / 10], t[count * 99 / 100]);
}

/* A reset, so that no port has to wait for a minute. */
static unsigned long connections(const struct sockaddr_in *a, double seconds)
{
	const struct linger none = { .l_onoff = 1 };
	double end = now() + seconds;
	unsigned long done = 0;

	for (; now() < end; done++) {
		int fd = dial(a);

		if (send(fd, buffer, 64, MSG_NOSIGNAL) != 64 || recv(fd, buffer, 64, MSG_WAITALL) != 64)
			die("rate");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(fd);
	}
	return done;
}

static void rate(const struct sockaddr_in *a, double seconds, int parallel)
{
	unsigned long done, sum = 0;
	int fds[2];

	if (pipe(fds) < 0)
		die("pipe");
	for (int i = 0; i < parallel; i++) {
		if (fork() == 0) {
			done = connections(a, seconds);
			_exit(write(fds[1], &done, sizeof(done)) != sizeof(done));
		}
	}
	close(fds[1]);
	for (int i = 0; i < parallel; i++) {
		if (read(fds[0], &done, sizeof(done)) != sizeof(done))
			die("rate: a child");
		sum += done;
	}
	printf("%.0f\n", (double)sum / seconds);
}

static void idle(const struct sockaddr_in *a, int flows)
{
	for (int i = 0; i < flows; i++)
		dial(a);
	printf("%d\n", flows);
	fflush(stdout);
	while (read(STDIN_FILENO, buffer, sizeof(buffer)) > 0)
		;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct sockaddr_in a;

	if (argc < 4)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	a = address(argv[2], argv[3]);
	if (strcmp(argv[1], "source") == 0 && (argc == 6 || argc == 7))
		source(&a, atof(argv[4]), atoi(argv[5]), argc == 7 ? argv[6] : NULL);
	else if (strcmp(argv[1], "ping") == 0 && argc == 6)
		ping(&a, atoi(argv[4]), (size_t)atoi(argv[5]));
	else if (strcmp(argv[1], "rate") == 0 && argc == 6)
		rate(&a, atof(argv[4]), atoi(argv[5]));
	else if (strcmp(argv[1], "idle") == 0 && argc == 5)
		idle(&a, atoi(argv[4]));
	else if (argc == 4)
		serve(argv[1], &a);
	else
		return 2;
	return 0;
}
