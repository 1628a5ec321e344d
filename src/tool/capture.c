/* SPDX-License-Identifier: GPL-2.0-or-later */
/* capture.c - TCP segments out of pcap and pcapng files */
#include "tool/capture.h"

#include <pcap/pcap.h>
#include <string.h>

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

struct cursor {
	const uint8_t *p;
	size_t left;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (n > c->left)
		return NULL;
	c->p += n;
	c->left -= n;
	return p;
}

static bool parse_tcp(struct cursor *c, struct tcp_segment *ret)
{
	const uint8_t *h = take(c, 20);
	size_t head;

	if (!h)
		return false;
	head = (size_t)(h[12] >> 4) * 4;
	if (head < 20 || !take(c, head - 20))
		return false;
	ret->from.port = be16(h);
	ret->to.port = be16(h + 2);
	ret->seq = be32(h + 4);
	ret->fin = h[13] & 1;
	ret->syn = h[13] & 2;
	ret->rst = h[13] & 4;
	ret->ack = h[13] & 16;
	ret->bytes = c->p;
	ret->length = c->left;
	return true;
}

static void cut_to(struct cursor *c, size_t n)
{
	/* Ethernet pads short packets; a short snapshot length cuts long ones. */
	if (c->left > n)
		c->left = n;
}

static bool parse_ipv4(struct cursor *c, struct tcp_segment *ret)
{
	const uint8_t *h = take(c, 20);
	size_t head, total;

	if (!h || h[0] >> 4 != 4)
		return false;
	head = (size_t)(h[0] & 15) * 4;
	total = be16(h + 2);
	/* 0: offloaded to the network card, the packet is as long as it is. */
	if (!total)
		total = head + c->left;
	if (head < 20 || total < head || !take(c, head - 20) || h[9] != 6)
		return false;
	if (be16(h + 6) & 0x3fff)
		return false;			/* a fragment; nobody fragments TCP */
	cut_to(c, total - head);
	ret->ipv6 = false;
	memset(&ret->from, 0, sizeof(ret->from));
	memset(&ret->to, 0, sizeof(ret->to));
	memcpy(ret->from.address, h + 12, 4);
	memcpy(ret->to.address, h + 16, 4);
	return parse_tcp(c, ret);
}

static bool parse_ipv6(struct cursor *c, struct tcp_segment *ret)
{
	const uint8_t *h = take(c, 40), *e;
	uint8_t next;

	if (!h || h[0] >> 4 != 6)
		return false;
	if (be16(h + 4))
		cut_to(c, be16(h + 4));
	next = h[6];
	for (int i = 0; i < 8 && (next == 0 || next == 43 || next == 60); i++) {
		e = take(c, 8);
		if (!e || !take(c, (size_t)e[1] * 8))
			return false;
		next = e[0];
	}
	if (next != 6)
		return false;
	ret->ipv6 = true;
	memset(&ret->from, 0, sizeof(ret->from));
	memset(&ret->to, 0, sizeof(ret->to));
	memcpy(ret->from.address, h + 8, 16);
	memcpy(ret->to.address, h + 24, 16);
	return parse_tcp(c, ret);
}

static bool parse_ip(struct cursor *c, struct tcp_segment *ret)
{
	if (!c->left)
		return false;
	return *c->p >> 4 == 4 ? parse_ipv4(c, ret) : parse_ipv6(c, ret);
}

static bool parse_ethertype(struct cursor *c, uint16_t type, struct tcp_segment *ret)
{
	const uint8_t *tag;

	for (int i = 0; i < 4 && (type == 0x8100 || type == 0x88a8 || type == 0x9100); i++) {
		tag = take(c, 4);
		if (!tag)
			return false;
		type = be16(tag + 2);
	}
	if (type == 0x8864) {			/* PPPoE: head, then the protocol of PPP */
		tag = take(c, 8);
		if (!tag)
			return false;
		type = be16(tag + 6) == 0x21 ? 0x0800 : be16(tag + 6) == 0x57 ? 0x86dd : 0;
	}
	if (type == 0x0800)
		return parse_ipv4(c, ret);
	return type == 0x86dd && parse_ipv6(c, ret);
}

bool capture_link_known(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB: case DLT_LINUX_SLL: case DLT_LINUX_SLL2: case DLT_RAW: case DLT_IPV4: case DLT_IPV6:
	case DLT_NULL: case DLT_LOOP:
	case 101:			/* LINKTYPE_RAW, where it was not translated */
		return true;
	default:
		return false;
	}
}

bool capture_parse(int link_type, const uint8_t *packet, size_t length, struct tcp_segment *ret)
{
	struct cursor c = { packet, length };
	const uint8_t *h;

	*ret = (struct tcp_segment){ .length = 0 };
	switch (link_type) {
	case DLT_EN10MB:
		h = take(&c, 14);
		return h && parse_ethertype(&c, be16(h + 12), ret);
	case DLT_LINUX_SLL:
		h = take(&c, 16);
		return h && parse_ethertype(&c, be16(h + 14), ret);
	case DLT_LINUX_SLL2:
		h = take(&c, 20);
		return h && parse_ethertype(&c, be16(h), ret);
	case DLT_NULL:
	case DLT_LOOP:
		return take(&c, 4) && parse_ip(&c, ret);
	default:
		return parse_ip(&c, ret);
	}
}

int capture_read(FILE *stream, struct tcp *t, char *error)
{
	pcap_t *p = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, error);
	struct pcap_pkthdr *head;
	const uint8_t *packet;
	struct tcp_segment s;
	int r, link;

	if (!p) {
		fclose(stream);
		return -1;
	}
	link = pcap_datalink(p);
	if (!capture_link_known(link)) {
		const char *name = pcap_datalink_val_to_name(link);

		snprintf(error, PCAP_ERRBUF_SIZE, "link type %d (%s) is not known here", link, name ? name : "?");
		pcap_close(p);
		return -1;
	}
	while ((r = pcap_next_ex(p, &head, &packet)) == 1) {
		if (!capture_parse(link, packet, head->caplen, &s))
			continue;
		/* Nanoseconds were asked for; the seconds of a damaged file may be anything. */
		s.time_ns = head->ts.tv_sec < 0 || head->ts.tv_sec > INT64_MAX / NSEC_PER_SEC / 2 ? 0 :
			    (int64_t)head->ts.tv_sec * NSEC_PER_SEC + head->ts.tv_usec;
		tcp_segment(t, &s);
	}
	if (r == PCAP_ERROR)
		snprintf(error, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(p));
	pcap_close(p);
	return r == PCAP_ERROR ? 1 : 0;
}
