/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pcapng.c - TCP streams written as packets; see pcapng.h */
#include "tool/pcapng.h"

#include <string.h>

enum {
	SEGMENT_MOST = 1400, HOLE = 1000, LINK_RAW = 101,
	FIN = 1, SYN = 2, PSH = 8, ACK = 16,
	BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6,
};

/* ------------------------------------------------ blocks */
static void u32(FILE *to, uint32_t v)
{
	fwrite(&v, sizeof(v), 1, to);		/* in our own order, which the section's head tells */
}

static void u16(FILE *to, uint16_t v)
{
	fwrite(&v, sizeof(v), 1, to);
}

static size_t padding(size_t n)
{
	return (4 - n % 4) % 4;
}

static void padded(FILE *to, const void *bytes, size_t n)
{
	fwrite(bytes, 1, n, to);
	fwrite("\0\0\0", 1, padding(n), to);
}

void pcapng_start(FILE *to, const char *comment)
{
	size_t n = strlen(comment);
	uint32_t size = (uint32_t)(28 + 4 + n + padding(n) + 4);

	u32(to, BLOCK_SECTION);
	u32(to, size);
	u32(to, 0x1a2b3c4d);
	u16(to, 1);
	u16(to, 0);
	u32(to, UINT32_MAX);			/* length of the section: not told */
	u32(to, UINT32_MAX);
	u16(to, 1);				/* opt_comment */
	u16(to, (uint16_t)n);
	padded(to, comment, n);
	u32(to, 0);				/* opt_endofopt */
	u32(to, size);

	u32(to, BLOCK_INTERFACE);
	u32(to, 32);
	u16(to, LINK_RAW);
	u16(to, 0);
	u32(to, 0);				/* no snapshot length */
	u16(to, 9);				/* if_tsresol: nanoseconds */
	u16(to, 1);
	padded(to, "\x09", 1);
	u32(to, 0);
	u32(to, 32);
}

static void packet(FILE *to, const uint8_t *bytes, size_t n, int64_t time_ns)
{
	uint32_t size = (uint32_t)(28 + n + padding(n) + 4);

	u32(to, BLOCK_PACKET);
	u32(to, size);
	u32(to, 0);
	u32(to, (uint32_t)((uint64_t)time_ns >> 32));
	u32(to, (uint32_t)time_ns);
	u32(to, (uint32_t)n);
	u32(to, (uint32_t)n);
	padded(to, bytes, n);
	u32(to, size);
}

/* ------------------------------------------------ packets */
static void be16_at(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void be32_at(uint8_t *p, uint32_t v)
{
	be16_at(p, (uint16_t)(v >> 16));
	be16_at(p + 2, (uint16_t)v);
}

static uint32_t add(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void segment(FILE *to, struct pcapng_stream *s, bool from_client, unsigned int flags, const uint8_t *bytes, size_t n,
		    int64_t time_ns)
{
	const struct tcp_end *from = from_client ? &s->client : &s->server, *at = from_client ? &s->server : &s->client;
	size_t head = s->ipv6 ? 40 : 20, width = s->ipv6 ? 16 : 4;
	uint8_t p[60 + SEGMENT_MOST] = { 0 }, *tcp = p + head;
	uint32_t sum = 6 + 20 + (uint32_t)n;

	if (s->ipv6) {
		p[0] = 0x60;
		be16_at(p + 4, (uint16_t)(20 + n));
		p[6] = 6;
		p[7] = 64;
		memcpy(p + 8, from->address, 16);
		memcpy(p + 24, at->address, 16);
	} else {
		p[0] = 0x45;
		be16_at(p + 2, (uint16_t)(40 + n));
		p[6] = 0x40;
		p[8] = 64;
		p[9] = 6;
		memcpy(p + 12, from->address, 4);
		memcpy(p + 16, at->address, 4);
		be16_at(p + 10, folded(add(0, p, 20)));
	}
	be16_at(tcp, from->port);
	be16_at(tcp + 2, at->port);
	be32_at(tcp + 4, s->next[!from_client]);
	be32_at(tcp + 8, flags & ACK ? s->next[from_client] : 0);
	tcp[12] = 0x50;
	tcp[13] = (uint8_t)flags;
	be16_at(tcp + 14, UINT16_MAX);
	if (n)
		memcpy(tcp + 20, bytes, n);
	sum = add(add(sum, from->address, width), at->address, width);
	be16_at(tcp + 16, folded(add(sum, tcp, 20 + n)));
	packet(to, p, head + 20 + n, time_ns);
	s->next[!from_client] += (uint32_t)n + (flags & (SYN | FIN) ? 1 : 0);
}

void pcapng_open(FILE *to, struct pcapng_stream *s, int64_t time_ns)
{
	s->opened = true;
	s->next[0] = 1000;
	s->next[1] = 2000;
	segment(to, s, true, SYN, NULL, 0, time_ns);
	segment(to, s, false, SYN | ACK, NULL, 0, time_ns);
	segment(to, s, true, ACK, NULL, 0, time_ns);
}

void pcapng_data(FILE *to, struct pcapng_stream *s, bool from_client, const uint8_t *bytes, size_t length, int64_t time_ns)
{
	while (length) {
		size_t n = length < SEGMENT_MOST ? length : SEGMENT_MOST;

		segment(to, s, from_client, PSH | ACK, bytes, n, time_ns);
		bytes += n;
		length -= n;
	}
}

void pcapng_gap(struct pcapng_stream *s, bool from_client)
{
	s->next[!from_client] += HOLE;
}

void pcapng_close(FILE *to, struct pcapng_stream *s, int64_t time_ns)
{
	segment(to, s, true, FIN | ACK, NULL, 0, time_ns);
	segment(to, s, false, FIN | ACK, NULL, 0, time_ns);
	segment(to, s, true, ACK, NULL, 0, time_ns);
}
