/* SPDX-License-Identifier: GPL-2.0-or-later */
/* modbus.h - what all carriers of Modbus share: CRC, requests, pairing of answers, values by the maps */
#ifndef SUNTAP_MODBUS_H
#define SUNTAP_MODBUS_H

#include "protocols/protocol.h"

enum { MODBUS_OPEN_MAX = 4 };

struct modbus_request {
	bool open;
	uint8_t unit, function;
	uint16_t first, count;		/* count: words read or written */
	uint16_t value;			/* function 6 */
	const uint8_t *data;		/* function 16; valid only while its bytes are */
	uint32_t sensor_list;		/* of the carrier, 0: none */
	uint32_t tag;			/* the carrier's number of the request */
	int64_t asked_ns;
};

struct modbus_link {
	bool serial;			/* no numbers: a new request ends the one before */
	struct modbus_request requests[MODBUS_OPEN_MAX];	/* newest first */
};

/* Of whom and when the answer is, as the carrier knows. */
struct modbus_source {
	const char *logger;		/* "" or NULL: not known */
	enum time_kind time_kind;
	int64_t time_ms;
	bool dumps;			/* registers without a map are told in hex */
};

uint16_t modbus_crc(const uint8_t *bytes, size_t length);
/* Length with CRC that the head (>= 3 bytes) announces; 0: no function known here. */
size_t modbus_request_size(const uint8_t *rtu, size_t length);
size_t modbus_answer_size(const uint8_t *rtu, size_t length);

/* adu: unit, function, content; without CRC. */
bool modbus_parse_request(const uint8_t *adu, size_t length, struct modbus_request *ret);
/* "unit=1 fc=3 reg=0x3000 count=48" */
void modbus_request_text(const struct modbus_request *q, char *text, size_t room);
void modbus_open(struct modbus_link *link, struct modbus_request q, int64_t now);

/* NULL: the answer fits an open request; else what is wrong with it, in the words of modbus_answer(). */
const char *modbus_check(const struct decoder *d, const struct modbus_link *link, const uint8_t *adu,
			 size_t length, uint32_t tag);
/*
 * What an answer says, told as a reading or a note. NULL, or what is wrong: "unit", "function",
 * "count", "unasked". Without a request nothing is known of the registers, so nothing is told.
 */
const char *modbus_answer(struct decoder *d, enum dir dir, struct modbus_link *link, const uint8_t *adu,
			  size_t length, uint32_t tag, const struct modbus_source *source);
/* The carrier's word that the request was not answered; told as modbus_error. */
void modbus_error(struct decoder *d, struct modbus_link *link, unsigned int code, uint32_t tag,
		  const struct modbus_source *source);

#endif
