/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sender.h - batches of records over HTTP, with everything that can go wrong
 *
 * Theory of operation
 *	Two batches: one is under way, the other is being filled. A batch is a text and the end of each record in it. What
 *	is sent is a range of whole records; the destination judges the answer:
 *
 *	    DONE     the range is in: confirm it, go on behind it
 *	    RETRY    try the same range again, after 1, 2, 4 … 60 s, or when Retry-After says
 *	    HOLD     the same, but only the owner can mend it (credentials, names): wait longer, say what it is
 *	    HALVE    something in the range is refused: send the first half, and so on, until the record is found. A
 *	             range of one is refused: told, left out. Where nothing at all is taken it may not be the records'
 *	             fault: after SENDER_REFUSALS in a row each further one is tried twice, with a HOLD between
 *	    REFUSED  this one record is refused; those before it may be in or not, and are sent again without it
 *	    ASK      accepted, and not safe yet: ask ask_path with ask_body until judge_asked() says that it is; after
 *	             SENDER_ASK_SECONDS without, send the range again
 *	    PARTIAL  as HALVE, while what is good is in already: after SENDER_HALVINGS requests for one batch it is taken
 *	             as it is, with the number of records that were lost
 *
 * Memory: two batches of SENDER_BYTES and one record, and the compressed copy of one.
 */
#ifndef EXPORT_SENDER_H
#define EXPORT_SENDER_H

#include "export/destination.h"
#include "export/http.h"
#include "export/text.h"

enum {
	SENDER_RECORDS = 5000,
	SENDER_BYTES = 1 << 20,
	SENDER_HALVINGS = 100,
	SENDER_PATH_MAX = 1024,
	SENDER_ASK_SECONDS = 120,
	SENDER_REFUSALS = 16,		/* in a row, each of a single record: then one a HOLD */
};

enum verdict { VERDICT_DONE, VERDICT_RETRY, VERDICT_HOLD, VERDICT_HALVE, VERDICT_REFUSED, VERDICT_PARTIAL,
	       VERDICT_ASK };

struct judgement {
	enum verdict verdict;
	size_t refused;			/* REFUSED: which of the range, from 0; PARTIAL: how many, 0 = not told */
	char why[384];			/* judgement_say(): for the owner; never a secret */
	uint64_t retry_after;		/* s; 0: as often as is usual */
	char ask_path[128], ask_body[64];	/* ASK */
};

struct batch {
	struct text text;
	size_t ends[SENDER_RECORDS];
	size_t count;
};

struct sender {
	struct destination *destination;
	struct http *http;
	char path[SENDER_PATH_MAX];	/* behind the URL; the destination may change it between requests */
	/* Judges an answer to `range` records. */
	void (*judge)(struct destination *d, const struct http_answer *a, size_t range, struct judgement *ret);
	/* Judges an answer to a question: true: the range is safe. Only RETRY of the verdicts counts. May be NULL. */
	bool (*judge_asked)(struct destination *d, const struct http_answer *a, struct judgement *ret);
	/* Called before a request that follows a HOLD: read the secrets again. May be NULL. */
	void (*renew)(struct destination *d);
	struct batch batches[2], *filling, *sending;	/* sending NULL: nothing is under way */
	size_t from, range;		/* of sending */
	unsigned failures, halvings;
	unsigned refusals;		/* in a row */
	bool doubted;			/* the next refusal counts */
	bool held;
	/* ASK */
	bool asking;
	char ask_path[128], ask_body[64];
	int64_t asking_since;
	unsigned asked;
	sd_event_source *wait;
};

int sender_open(struct sender *s, struct destination *d, const struct http_settings *http);
/* Where to write one record: then sender_added(). NULL: FULL. */
struct text *sender_begin(struct sender *s);
void sender_added(struct sender *s);
void sender_flush(struct sender *s);
size_t sender_under_way(const struct sender *s);	/* for stop(): records worth waiting for */
void sender_close(struct sender *s);

void judgement_say(struct judgement *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What all have in common: no answer, 429, 503 and other 5xx (RETRY), 413 (HALVE); false: none of these. */
bool sender_judge(const struct http_answer *a, const char *url, struct judgement *ret);

#endif
