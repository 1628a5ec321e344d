/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.h - devices and clouds that do not exist: what they say
 *
 * One file and one row in sim.c for each protocol. It knows frames, no sockets: `suntap sim` carries them
 * (src/tool/sim_*.c). The tables here are written from the protocols' documents a second time and not
 * made from the maps, so that a frame which decodes to what was put in says something about the maps.
 */
#ifndef SUNTAP_SIM_H
#define SUNTAP_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocols/reading.h"

enum { SIM_FRAME_MAX = 4096, SIM_ID_MAX = READING_ID_MAX };

/* ------------------------------------------------ building frames */
struct sim_frame {
	size_t length;
	uint8_t bytes[SIM_FRAME_MAX];
};

/* Each appends; what has no room is left out (frames here are of known length). */
void sim_u8(struct sim_frame *f, unsigned int v);
void sim_be16(struct sim_frame *f, unsigned int v);
void sim_be32(struct sim_frame *f, uint32_t v);
void sim_be64(struct sim_frame *f, uint64_t v);
void sim_le16(struct sim_frame *f, unsigned int v);
void sim_le32(struct sim_frame *f, uint32_t v);
void sim_bytes(struct sim_frame *f, const void *bytes, size_t length);
void sim_fill(struct sim_frame *f, unsigned int byte, size_t length);
void sim_text(struct sim_frame *f, const char *text);			/* without its NUL */
void sim_padded(struct sim_frame *f, const char *text, size_t width, unsigned int pad);
__attribute__((format(printf, 2, 3)))
void sim_print(struct sim_frame *f, const char *format, ...);
void sim_set_be16(struct sim_frame *f, size_t at, unsigned int v);	/* over what is there */

/* ------------------------------------------------ a sunny day */
/* Thousandths: mW, mV, mA, mHz, Wh (thousandths of kWh), thousandths of a degree or per cent. */
struct sim_day {
	int64_t pv_voltage[4], pv_current[4], pv_power[4], pv_energy_today[4], pv_energy_total[4];
	int64_t pv_power_sum;
	int64_t ac_voltage, ac_current, ac_frequency, ac_power, temperature;
	int64_t energy_today, energy_total;
	/* of a house with a battery; signs as in the vocabulary */
	int64_t load_power, grid_power, battery_power, battery_voltage, battery_current, battery_soc;
	int64_t grid_import_total, grid_export_total, battery_charge_total, battery_discharge_total;
};

/* seconds: of the sun's clock, since the midnight of its first day. */
void sim_day_at(struct sim_day *d, double seconds);

/* ------------------------------------------------ tables of fields */
struct sim_field {
	const char *name;
	size_t from;		/* SIM_DAY(...) */
	int fixed;		/* instead of it, where `constant` is set: as it is on the wire */
	bool constant;
	uint16_t at;
	uint8_t width;		/* bytes: 2, 4 */
	uint8_t decimals;	/* of the wire's steps */
	int16_t add;		/* taken off for the wire: 40 degrees */
};
#define SIM_DAY(member) .from = offsetof(struct sim_day, member)
#define SIM_FIXED(value) .constant = true, .fixed = (value)

enum sim_order { SIM_BIG, SIM_LITTLE, SIM_LOW_FIRST /* words big-endian, the low one first */ };

/* What a day's value is in the wire's steps; truth (may be NULL) gets it by name. */
int64_t sim_step(struct reading *truth, const char *name, int64_t thousandths, unsigned int decimals);
/* Writes all fields into the payload that begins at `base`. */
void sim_fields(struct sim_frame *f, size_t base, const struct sim_field *fields, size_t count, enum sim_order order,
		const struct sim_day *day, struct reading *truth);

/* ------------------------------------------------ who speaks */
struct sim_moment {
	int64_t utc_ms;		/* when it was measured, a whole second */
	bool stored;		/* kept, and sent later */
	const struct sim_day *day;
};

struct sim_device {
	char serial[SIM_ID_MAX], logger[SIM_ID_MAX];
	int64_t clock_error_ms;		/* what its clock is ahead of ours */
	int64_t power_on_ms;
	int64_t now_ms;			/* set before each call */
	uint32_t number;		/* of the record */
	uint8_t mine, theirs;		/* sequence numbers */
	bool has_clock;			/* has been told the time */
	int64_t clock_ms;		/* what it added to its uptime to have it (Solarman V5) */
	unsigned int step;		/* of a dialogue, the protocol's own */
};

struct sim_protocol {
	const char *name;
	uint16_t port;			/* where its cloud listens */
	const char *serial, *logger;	/* made up; used where none is given */
	bool stored;			/* the device keeps records and sends them later */
	bool bare_answers;		/* nothing marks the beginning of an answer: no rubbish before one */
	/* What a device says after connecting, message by message; false: that was all. */
	bool (*hello)(struct sim_device *d, unsigned int i, struct sim_frame *f);
	/* truth gets all that the frame says: values, time, serial, logger, historic. The second one too, if it holds two. */
	void (*record)(struct sim_device *d, const struct sim_moment *m, struct sim_frame *f, struct reading *truth,
		       struct reading *second);
	void (*beat)(struct sim_device *d, struct sim_frame *f);	/* NULL: none */
	/* A frame of the cloud: true if the last message is answered by it. reply: left empty, or to be sent. */
	bool (*take)(struct sim_device *d, const uint8_t *frame, size_t size, struct sim_frame *reply);
	/* The cloud's answer to a good frame of the device; false: this one is not answered. */
	bool (*answer)(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *answer);
	/* What the cloud sends on its own behind that answer; NULL, or false: nothing. */
	bool (*then)(const uint8_t *frame, size_t size, int64_t now_ms, struct sim_frame *command);
	uint8_t checksum;		/* where a byte of its checksum stands in each frame, from the end; 0: it has none */
};

extern const struct sim_protocol *const sim_protocols[];	/* NULL after the last */
extern const struct sim_protocol sim_solarman_v5, sim_tsun_gen3, sim_inteless, sim_growatt, sim_alphaess, sim_apsystems;

const struct sim_protocol *sim_protocol(const char *name);	/* NULL: unknown */
void sim_spoil(const struct sim_protocol *p, struct sim_frame *f);	/* makes the checksum wrong */
/* Who and when, into the truth. */
void sim_identify(struct reading *truth, const struct sim_device *d, const struct sim_moment *m, enum time_kind kind,
		  int64_t time_ms);
/* The same day for an inverter with two inputs of double size. */
void sim_two_inputs(struct sim_day *d);
int64_t sim_local_ms(int64_t utc_ms);				/* this machine's wall clock */
/* The wall clock as broken down time; for protocols that send dates. */
struct tm;
void sim_local(int64_t utc_ms, struct tm *ret);
void sim_date(struct sim_frame *f, int64_t utc_ms);	/* year - 2000, month, day, hour, minute, second: a byte each */

#endif
