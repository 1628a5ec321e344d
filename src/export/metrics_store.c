/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_store.c - what is counted and kept for the metrics; see metrics.h
 *
 * A value has the time when journald took its entry. It is left out when it is older than `stale`, or than 2.5 times
 * the time between its last two where that is longer (but no longer than an hour: a night is no period). Series have no
 * timestamps: Prometheus would go on with them for 5 minutes after they are gone.
 *
 * Counts of events begin at 0 with the process, as counters do. Labels come from the journal, so their number is
 * bounded; what is beyond is counted under "other".
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export/exporter.h"
#include "export/meter.h"
#include "export/metric_name.h"
#include "export/metrics.h"
#include "shared/log.h"
#include "shared/message_ids.h"
#include "shared/util.h"

struct value {
	char name[RECORD_NAME_MAX];
	double number;
	int64_t at_ns, period_ns;
	struct meter meter;
};

struct device {
	char id[RECORD_ID_MAX], logger[RECORD_ID_MAX], model[RECORD_ID_MAX], firmware[RECORD_ID_MAX], name[RECORD_ID_MAX];
	int64_t reading_ns;		/* when the last was measured */
	struct value *values;
	size_t count, room;
};

/* The service's own counters; the order is that of the rows in families[]. */
enum count {
	COUNT_RECORDS, COUNT_BAD, COUNT_UNKNOWN, COUNT_COMMANDS,			/* by protocol */
	COUNT_OPENED, COUNT_CLOSED, COUNT_REFUSED, COUNT_SILENT, COUNT_TLS, COUNT_GAPS, COUNT_LOST,	/* by device */
	COUNT_BYTES_DEVICE, COUNT_BYTES_CLOUD,
	COUNT_RESTARTS, COUNT_REPAIRED,						/* of the machine */
	COUNT_KINDS,
};

struct count_row {
	enum count kind;
	char label[RECORD_ID_MAX];
	uint64_t n;
};

struct metrics {
	int64_t stale_ns, begun_ns;
	bool base;
	struct device *devices;
	size_t device_count, device_room, value_count;
	struct count_row *counts;
	size_t count_count, count_room;
	int64_t lag_ns;			/* of the last entry */
	uint64_t entries;
	bool told_full;
};

static const struct {
	const char *family, *label, *more, *help;
} families[] = {
	[COUNT_RECORDS] = { "suntap_frames_good", "protocol", "", "Records of devices that were decoded." },
	[COUNT_BAD] = { "suntap_frames_bad", "protocol", "", "Frames that failed their checksum or their form." },
	[COUNT_UNKNOWN] = { "suntap_frames_unknown", "protocol", "", "Frames and streams that no decoder understands." },
	[COUNT_COMMANDS] = { "suntap_commands", "protocol", "", "Commands of clouds to devices." },
	[COUNT_OPENED] = { "suntap_flows_opened", "device", "", "Connections of devices that were opened." },
	[COUNT_CLOSED] = { "suntap_flows_closed", "device", "", "Connections of devices that have ended." },
	[COUNT_REFUSED] = { "suntap_flows_refused", "device", "", "Connections that suntapd refused." },
	[COUNT_SILENT] = { "suntap_flows_silent", "device", "", "Connections that said nothing." },
	[COUNT_TLS] = { "suntap_flows_tls", "device", "", "Connections that are TLS: relayed, not readable." },
	[COUNT_GAPS] = { "suntap_gaps", "device", "", "Gaps in what the decoder read; the relay lost nothing." },
	[COUNT_LOST] = { "suntap_gap_bytes", "device", "", "Bytes that the decoder missed." },
	[COUNT_BYTES_DEVICE] = { "suntap_flow_bytes", "device", ",direction=\"device\"", "Bytes relayed, by who sent them; "
				 "counted at the end of a connection." },
	[COUNT_BYTES_CLOUD] = { "suntap_flow_bytes", "device", ",direction=\"cloud\"", "" },
	[COUNT_RESTARTS] = { "suntap_decoder_restarts", NULL, "", "How often the decoder had to be started again." },
	[COUNT_REPAIRED] = { "suntap_rules_repaired", NULL, "", "How often rules of ours were gone and were put back." },
};
_Static_assert(ARRAY_SIZE(families) == COUNT_KINDS, "a row for each count");

/* ---------------------------------------------------------------- begin and end */

struct metrics *metrics_new(unsigned stale_seconds, bool base_units)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (m)
		*m = (struct metrics){
			.stale_ns = stale_seconds * NSEC_PER_SEC, .begun_ns = now_realtime(), .base = base_units,
		};
	return m;
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < m->device_count; i++)
		free(m->devices[i].values);
	free(m->devices);
	free(m->counts);
	free(m);
	return NULL;
}

/* Room for one more in an array; false: there is none. */
static bool grow(void **array, size_t size, size_t count, size_t *room)
{
	size_t more = *room ? 2 * *room : 16;
	void *p;

	if (count < *room)
		return true;
	p = reallocarray(*array, more, size);
	if (!p)
		return false;
	*array = p;
	*room = more;
	return true;
}

static void tell_full(struct metrics *m)
{
	if (!m->told_full)
		log_warning("More than %d devices or %d values: what is beyond has no metrics", METRICS_DEVICES_MAX, METRICS_VALUES_MAX);
	m->told_full = true;
}

/* ---------------------------------------------------------------- counting */

static void count(struct metrics *m, enum count kind, const char *label, uint64_t n)
{
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < m->count_count; i++)
			if (m->counts[i].kind == kind && strcmp(m->counts[i].label, label) == 0) {
				m->counts[i].n += n;
				return;
			}
		if (m->count_count + COUNT_KINDS >= METRICS_COUNTS_MAX && strcmp(label, "other") != 0) {
			label = "other";
			continue;
		}
		break;
	}
	if (!grow((void **)&m->counts, sizeof(*m->counts), m->count_count, &m->count_room))
		return;
	m->counts[m->count_count] = (struct count_row){ .kind = kind, .n = n };
	snprintf(m->counts[m->count_count++].label, RECORD_ID_MAX, "%s", label);
}

static uint64_t number_of(const struct record *r, const char *field)
{
	const char *text = record_event_field(r, field);

	return text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

static void count_gap(struct metrics *m, const struct record *r)
{
	count(m, COUNT_GAPS, r->device, 1);
	count(m, COUNT_LOST, r->device, number_of(r, "SUNTAP_LOST"));
}

static void count_end(struct metrics *m, const struct record *r)
{
	count(m, COUNT_CLOSED, r->device, 1);
	count(m, COUNT_BYTES_DEVICE, r->device, number_of(r, "SUNTAP_BYTES_DEVICE"));
	count(m, COUNT_BYTES_CLOUD, r->device, number_of(r, "SUNTAP_BYTES_CLOUD"));
}

static void count_event(struct metrics *m, const struct record *r)
{
	static const struct {
		const char *id;
		enum count kind;
		bool by_protocol;
	} events[] = {
		{ MESSAGE_ID_READING, COUNT_RECORDS, true }, { MESSAGE_ID_INFO, COUNT_RECORDS, true },
		{ MESSAGE_ID_BAD_FRAME, COUNT_BAD, true }, { MESSAGE_ID_UNKNOWN_FRAME, COUNT_UNKNOWN, true },
		{ MESSAGE_ID_COMMAND, COUNT_COMMANDS, true },
		{ MESSAGE_ID_FLOW_OPENED, COUNT_OPENED, false }, { MESSAGE_ID_FLOW_REFUSED, COUNT_REFUSED, false },
		{ MESSAGE_ID_SILENT, COUNT_SILENT, false }, { MESSAGE_ID_TLS_SEEN, COUNT_TLS, false },
	};

	if (strcmp(r->message_id, MESSAGE_ID_GAP) == 0)
		count_gap(m, r);
	else if (strcmp(r->message_id, MESSAGE_ID_FLOW_CLOSED) == 0)
		count_end(m, r);
	else if (strcmp(r->message_id, MESSAGE_ID_DECODER_RESTARTED) == 0)
		count(m, COUNT_RESTARTS, "", 1);
	else if (strcmp(r->message_id, MESSAGE_ID_RULES_REPAIRED) == 0)
		count(m, COUNT_REPAIRED, "", 1);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (strcmp(r->message_id, events[i].id) == 0)
			count(m, events[i].kind, events[i].by_protocol ? r->protocol : r->device, 1);
}

/* ---------------------------------------------------------------- readings */

static struct device *device_of(struct metrics *m, const struct record *r)
{
	const char *id = r->serial[0] ? r->serial : r->logger[0] ? r->logger : r->device;

	if (!*id)
		return NULL;
	for (size_t i = 0; i < m->device_count; i++)
		if (strcmp(m->devices[i].id, id) == 0)
			return &m->devices[i];
	if (m->device_count == METRICS_DEVICES_MAX ||
	    !grow((void **)&m->devices, sizeof(*m->devices), m->device_count, &m->device_room)) {
		tell_full(m);
		return NULL;
	}
	m->devices[m->device_count] = (struct device){ 0 };
	snprintf(m->devices[m->device_count].id, RECORD_ID_MAX, "%s", id);
	return &m->devices[m->device_count++];
}

static struct value *value_of(struct metrics *m, struct device *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->values[i].name, name) == 0)
			return &d->values[i];
	if (m->value_count == METRICS_VALUES_MAX || !grow((void **)&d->values, sizeof(*d->values), d->count, &d->room)) {
		tell_full(m);
		return NULL;
	}
	m->value_count++;
	d->values[d->count] = (struct value){ 0 };
	snprintf(d->values[d->count].name, RECORD_NAME_MAX, "%s", name);
	return &d->values[d->count++];
}

static void take_value(struct metrics *m, struct device *d, const struct record *r, const struct record_value *v)
{
	double number = record_number(v);
	struct value *mine;

	/* One that is cut might end in half a character, for which a scraper refuses all of its scrape. */
	if (strcmp(v->name, "firmware_version") == 0 && v->text_length < sizeof(d->firmware))
		memcpy(d->firmware, v->text, v->text_length + 1u);
	if (!v->number || r->kind != RECORD_READING || !isfinite(number))
		return;
	mine = value_of(m, d, v->name);
	if (!mine)
		return;
	if (mine->at_ns && r->entry_ns > mine->at_ns)
		mine->period_ns = r->entry_ns - mine->at_ns;
	mine->at_ns = r->entry_ns;
	if (meter_kind(v->name) != METER_TOTAL || meter_take(&mine->meter, METER_TOTAL, number, r->time_ns))
		mine->number = number;
	else if (!mine->meter.known)
		mine->at_ns = 0;
}

void metrics_take(struct metrics *m, const struct record *r, int64_t now_ns)
{
	struct device *d;

	m->entries++;
	m->lag_ns = now_ns > r->entry_ns ? now_ns - r->entry_ns : 0;
	if (r->entry_ns >= m->begun_ns)
		count_event(m, r);
	if (r->kind == RECORD_EVENT || r->historic || now_ns - r->entry_ns > METRICS_RECENT * NSEC_PER_SEC)
		return;
	d = device_of(m, r);
	if (!d)
		return;
	if (r->logger[0])
		memcpy(d->logger, r->logger, sizeof(d->logger));
	if (r->model[0])
		memcpy(d->model, r->model, sizeof(d->model));
	if (r->device[0])
		memcpy(d->name, r->device, sizeof(d->name));
	if (r->kind == RECORD_READING)
		d->reading_ns = r->time_ns;
	for (size_t i = 0; i < r->count; i++)
		take_value(m, d, r, &r->values[i]);
}

/* ---------------------------------------------------------------- writing */

struct sample {
	struct metric metric;
	const struct device *device;
	const struct value *value;
};

static int by_family(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int r = strcmp(x->metric.family, y->metric.family);

	if (r == 0)
		r = (int)x->metric.counter - (int)y->metric.counter;
	if (r == 0)
		r = strcmp(x->metric.unit, y->metric.unit);
	if (r == 0)
		r = strcmp(x->device->id, y->device->id);
	return r ? r : strcmp(x->metric.labels, y->metric.labels);
}

/* The value of a label, with its quotes. */
static void add_quoted(struct text *t, const char *s)
{
	text_add(t, "\"", 1);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			text_add(t, "\\", 1);
		text_add(t, *s == '\n' ? "\\n" : s, *s == '\n' ? 2 : 1);
	}
	text_add(t, "\"", 1);
}

static void add_label(struct text *t, char *separator, const char *name, const char *value)
{
	if (!*value)
		return;
	text_add(t, separator, 1);
	*separator = ',';
	text_printf(t, "%s=", name);
	add_quoted(t, value);
}

static void head(struct text *t, bool open, const char *family, bool counter, const char *unit, const char *help)
{
	text_printf(t, "# TYPE %s%s %s\n", family, counter && !open ? "_total" : "", counter ? "counter" : "gauge");
	if (open && *unit)
		text_printf(t, "# UNIT %s %s\n", family, unit);
	text_printf(t, "# HELP %s%s %s\n", family, counter && !open ? "_total" : "", help);
}

static void add_number(struct text *t, double v)
{
	text_printf(t, " %.15g\n", v);
}

static bool is_fresh(const struct metrics *m, const struct value *v, int64_t now_ns)
{
	int64_t limit = v->period_ns * 5 / 2;

	if (limit > METRICS_RECENT * NSEC_PER_SEC)
		limit = METRICS_RECENT * NSEC_PER_SEC;
	if (limit < m->stale_ns)
		limit = m->stale_ns;
	return v->at_ns && now_ns - v->at_ns <= limit;
}

/* What we say of a device ourselves: a family is described once. */
static bool is_ours(const struct metric *m)
{
	return strcmp(m->family, "solar_device") == 0 || strcmp(m->family, "solar_last_reading_timestamp_seconds") == 0;
}

static bool one_family(const struct sample *a, const struct sample *b)
{
	return strcmp(a->metric.family, b->metric.family) == 0;
}

static void write_family(struct text *t, const struct sample *s, size_t n, bool open)
{
	char help[200];

	snprintf(help, sizeof(help), "%s of a device%s%s.", s->value->name, *s->metric.unit ? ", in " : "", s->metric.unit);
	head(t, open, s->metric.family, s->metric.counter, s->metric.unit, help);
	for (size_t i = 0; i < n; i++) {
		/* Of two of another kind under one name the first is shown; and nothing twice. */
		if (s[i].metric.counter != s->metric.counter || s[i].metric.unit != s->metric.unit ||
		    (i && s[i].device == s[i - 1].device && strcmp(s[i].metric.labels, s[i - 1].metric.labels) == 0))
			continue;
		text_printf(t, "%s%s{serial=", s->metric.family, s->metric.counter ? "_total" : "");
		add_quoted(t, s[i].device->id);
		text_printf(t, "%s}", s[i].metric.labels);
		add_number(t, s[i].value->number * s[i].metric.factor);
	}
}

static void write_values(struct metrics *m, struct text *t, bool open, int64_t now_ns)
{
	struct sample *samples = calloc(m->value_count + 1, sizeof(*samples));
	size_t n = 0;

	if (!samples) {
		t->failed = true;
		return;
	}
	for (size_t i = 0; i < m->device_count; i++)
		for (size_t k = 0; k < m->devices[i].count; k++) {
			const struct value *v = &m->devices[i].values[k];

			samples[n].device = &m->devices[i];
			samples[n].value = v;
			n += is_fresh(m, v, now_ns) && metric_name(v->name, m->base, &samples[n].metric) &&
			     !is_ours(&samples[n].metric);
		}
	qsort(samples, n, sizeof(*samples), by_family);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && one_family(&samples[i], &samples[end]);)
			end++;
		write_family(t, &samples[i], end - i, open);
	}
	free(samples);
}

static void write_devices(const struct metrics *m, struct text *t, bool open)
{
	if (m->device_count)
		head(t, open, "solar_last_reading_timestamp_seconds", false, "seconds", "When the last reading was measured.");
	for (size_t i = 0; i < m->device_count; i++) {
		if (!m->devices[i].reading_ns)
			continue;
		text_puts(t, "solar_last_reading_timestamp_seconds{serial=");
		add_quoted(t, m->devices[i].id);
		text_printf(t, "} %.3f\n", (double)(m->devices[i].reading_ns / NSEC_PER_MSEC) / 1000);
	}
	if (m->device_count && open)
		text_puts(t, "# TYPE solar_device info\n# HELP solar_device What a device says of itself.\n");
	else if (m->device_count)
		text_puts(t, "# TYPE solar_device_info gauge\n# HELP solar_device_info What a device says of itself.\n");
	for (size_t i = 0; i < m->device_count; i++) {
		const struct device *d = &m->devices[i];
		char separator = '{';

		text_puts(t, "solar_device_info");
		add_label(t, &separator, "serial", d->id);
		add_label(t, &separator, "logger", d->logger);
		add_label(t, &separator, "model", d->model);
		add_label(t, &separator, "firmware", d->firmware);
		add_label(t, &separator, "device", d->name);
		text_puts(t, "} 1\n");
	}
}

static void write_counts(const struct metrics *m, struct text *t, bool open)
{
	const char *last = "";

	for (enum count k = 0; k < COUNT_KINDS; k++) {
		if (strcmp(last, families[k].family) != 0)
			head(t, open, families[k].family, true, k == COUNT_LOST || k == COUNT_BYTES_DEVICE ? "bytes" : "", families[k].help);
		last = families[k].family;
		for (size_t i = 0; i < m->count_count; i++) {
			if (m->counts[i].kind != k)
				continue;
			text_printf(t, "%s_total", families[k].family);
			if (families[k].label) {
				text_printf(t, "{%s=", families[k].label);
				add_quoted(t, m->counts[i].label);
				text_printf(t, "%s}", families[k].more);
			}
			text_printf(t, " %" PRIu64 "\n", m->counts[i].n);
		}
	}
}

static void write_own(const struct metrics *m, struct text *t, bool open, const struct exporter *x)
{
	struct exporter_counts counts = { 0 };
	struct reader_counts reader = { 0 };

	if (x)
		exporter_counts(x, &counts, &reader);
	head(t, open, "suntap_exporter_up", false, "", "1 while the exporter runs.");
	text_puts(t, "suntap_exporter_up 1\n");
	head(t, open, "suntap_exporter_lag_seconds", false, "seconds", "From journald to here, for the last entry.");
	text_printf(t, "suntap_exporter_lag_seconds %.3f\n", (double)(m->lag_ns / NSEC_PER_MSEC) / 1000);
	head(t, open, "suntap_exporter_entries", true, "", "Journal entries of suntap's that were read.");
	text_printf(t, "suntap_exporter_entries_total %" PRIu64 "\n", m->entries);
	head(t, open, "suntap_exporter_damaged_entries", true, "", "Journal entries that could not be read.");
	text_printf(t, "suntap_exporter_damaged_entries_total %" PRIu64 "\n", reader.damaged);
	head(t, open, "suntap_exporter_dropped_fields", true, "", "Fields of journal entries that were too long or not named as ours.");
	text_printf(t, "suntap_exporter_dropped_fields_total %" PRIu64 "\n", reader.left_out);
	head(t, open, "suntap_exporter_devices", false, "", "Devices that have been seen.");
	text_printf(t, "suntap_exporter_devices %zu\n", m->device_count);
	head(t, open, "suntap_build_version", false, "", "The version, as a label.");
	text_puts(t, "suntap_build_version{version=\"" SUNTAP_VERSION "\"} 1\n");
}

void metrics_write(struct metrics *m, struct text *t, bool open, int64_t now_ns, const struct exporter *x)
{
	write_values(m, t, open, now_ns);
	write_devices(m, t, open);
	write_counts(m, t, open);
	write_own(m, t, open, x);
	if (open)
		text_puts(t, "# EOF\n");
}
