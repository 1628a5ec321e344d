/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json_record.h - a record as one JSON object */
#ifndef EXPORT_JSON_RECORD_H
#define EXPORT_JSON_RECORD_H

#include "export/record.h"
#include "export/text.h"

/*
 * {"type":"reading","protocol":…,"serial":…,"logger":…,"model":…,"device":…,"time":…,"historic":true,"repeat":true,
 * "values":{…},"machine":…,"cursor":…}, without a newline; what the entry does not tell is left out. An event has
 * "type":"event", "message_id" and "fields". Numbers have the journal's digits.
 */
void json_record(struct text *t, const struct record *r);

#endif
