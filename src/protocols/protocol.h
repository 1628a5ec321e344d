/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protocol.h - what a protocol has to provide: one file and one row in protocols.c
 *
 *	probe	is what stands here the beginning of this protocol?	no / need more / yes
 *	frame	what stands at the beginning of these bytes?		skip / need more / a frame, good or bad
 *	decode	what does this frame say?				events through the decoder_…() calls
 *
 * A protocol sees bytes and tells events; it knows no sockets, files or flows, and allocates nothing.
 * What it has to remember of a flow is in its state (zeroed when the protocol is found).
 */
#ifndef SUNTAP_PROTOCOL_H
#define SUNTAP_PROTOCOL_H

#include "protocols/knowledge.h"
#include "protocols/session.h"

enum probe_answer { PROBE_NO, PROBE_MORE, PROBE_YES };

enum framing {
	FRAMING_SKIP,		/* size bytes (at least 1) belong to no frame */
	FRAMING_MORE,		/* ask again when there are size bytes */
	FRAMING_GOOD,		/* a frame of size bytes */
	FRAMING_BAD,		/* the same, and error says what is wrong with it */
};

struct framed {
	enum framing what;
	size_t size;
	const char *error;
};

/* What the framing of one direction has to remember between calls; zeroed at the start. */
struct scan {
	enum dir dir;
	unsigned int state;	/* 0 at the flow's start */
	bool lost;		/* set after a gap, or where the flow was joined in its middle */
	bool end;		/* no byte to wait for: the flow ends here, or the other side has spoken */
	size_t done;		/* how far a search has come; 0 again at each new position */
};

struct decoder {
	const struct protocol *protocol;
	struct knowledge *k;
	void *state;
	int64_t arrival_ns;
	const struct session_events *events;
	void *ctx;
};

struct protocol {
	const char *name;
	bool unframed;		/* its bytes are told as skipped, only readings come out */
	size_t likely;		/* with so many bytes that still could be it, a flow that ends here was it */
	size_t frame_max;
	size_t state_size;
	enum probe_answer (*probe)(const uint8_t *bytes, size_t length, bool at_start);	/* NULL: never detected */
	struct framed (*frame)(struct scan *scan, const uint8_t *bytes, size_t length);
	void (*decode)(struct decoder *d, enum dir dir, const uint8_t *bytes, size_t size, const char *error);
	/* Datagram protocols: the bytes of one feed are one message; frame is not used. */
	void (*datagram)(struct decoder *d, enum dir dir, const uint8_t *bytes, size_t size);
};

extern const struct protocol *const protocols[];	/* NULL after the last; the order is that of probing */

extern const struct protocol protocol_solarman_v5, protocol_tsun_gen3, protocol_inteless, protocol_growatt;
extern const struct protocol protocol_alphaess, protocol_apsystems;
extern const struct protocol protocol_modbus_rtu, protocol_modbus_tcp, protocol_solarman_at;

/* ------------------------------------------------ for decode() */
/* Fills in protocol and the "none" values; the rest is the caller's. */
struct frame_info decoder_frame_info(const struct decoder *d, enum dir dir, const uint8_t *bytes, size_t size,
				     const char *error);
void decoder_frame(struct decoder *d, const struct frame_info *info);
void decoder_skip(struct decoder *d, enum dir dir, uint64_t length);
__attribute__((format(printf, 4, 5)))
void decoder_note(struct decoder *d, enum dir dir, const char *key, const char *format, ...);
/* The one reading that is being made, emptied; fill it and hand it over. */
struct reading *decoder_reading(struct decoder *d, const char *logger);
void decoder_publish(struct decoder *d, struct reading *r);

void opcode_hex(char *out, uint32_t value, unsigned int digits);	/* "0x4210" */

/* ------------------------------------------------ little helpers */
static inline uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

#endif
