/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_sniff.c - the ClientHello: its name found, its lengths not believed (run under the sanitizers) */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "protocols/sniff.h"

struct hello {
	uint8_t bytes[1024];
	size_t length;
};

static void add(struct hello *h, const void *p, size_t n)
{
	memcpy(h->bytes + h->length, p, n);
	h->length += n;
}

static void set16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The handshake message; extensions: one unknown of 5 bytes, then the name. */
static struct hello make(const char *name)
{
	struct hello h = { .length = 0 };
	uint8_t head[4 + 34] = { 1, 0, 0, 0, 3, 3 }, sni[9] = { 0 };
	size_t n = strlen(name), extensions;

	add(&h, head, sizeof(head));
	add(&h, "\4abcd" "\0\4\x13\1\x13\2" "\1\0", 13);
	extensions = h.length;
	add(&h, "\0\0", 2);
	add(&h, "\0\x17\0\5hello", 9);
	set16(sni + 2, n + 5);
	set16(sni + 4, n + 3);
	set16(sni + 7, n);
	add(&h, sni, 9);
	add(&h, name, n);
	set16(h.bytes + extensions, h.length - extensions - 2);
	set16(h.bytes + 2, h.length - 4);
	return h;
}

static struct hello in_records(const struct hello *h, size_t size)
{
	struct hello out = { .length = 0 };

	for (size_t at = 0; at < h->length; at += size) {
		size_t n = h->length - at < size ? h->length - at : size;
		uint8_t head[5] = { 0x16, 3, 1 };

		set16(head + 3, n);
		add(&out, head, 5);
		add(&out, h->bytes + at, n);
	}
	return out;
}

/* A copy of exactly that size, so that the sanitizer sees the first byte too far. */
static enum sniffed sniff(const uint8_t *bytes, size_t length, char sni[256])
{
	uint8_t *exact = malloc(length ? length : 1);
	enum sniffed r;

	assert_non_null(exact);
	memcpy(exact, bytes, length);
	r = sniff_tls(exact, length, sni, 256);
	free(exact);
	return r;
}

static void the_name_is_found_however_it_is_cut(void **state)
{
	struct hello h = make("logger.talent-monitoring.com"), r;
	char sni[256];

	(void)state;
	for (size_t size = 1; size <= h.length; size = size < 8 ? size + 1 : size * 2) {
		r = in_records(&h, size);
		for (size_t n = 0; n < r.length; n++) {
			enum sniffed a = sniff(r.bytes, n, sni);

			assert_int_equal(a, n < 3 ? SNIFF_NO : SNIFF_MORE);
			assert_string_equal(sni, "");
		}
		assert_int_equal(sniff(r.bytes, r.length, sni), SNIFF_YES);
		assert_string_equal(sni, "logger.talent-monitoring.com");
	}
}

static void lengths_are_not_believed(void **state)
{
	struct hello h = make("example.net"), r = in_records(&h, sizeof(h.bytes)), m;
	static const uint8_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xfe, 0xff };
	char sni[256];

	(void)state;
	for (size_t i = 0; i < r.length; i++)
		for (size_t v = 0; v < sizeof(values); v++) {
			m = r;
			m.bytes[i] = values[v];
			sniff(m.bytes, m.length, sni);
			for (const char *p = sni; *p; p++)
				assert_true(*p > ' ' && *p < 0x7f && *p != '"');
		}
	m = in_records(&(struct hello){ { 1, 0xff, 0xff, 0xff }, 500 }, 1000);
	assert_int_equal(sniff(m.bytes, m.length, sni), SNIFF_YES);	/* longer than anybody's: TLS, no name */
	assert_string_equal(sni, "");
}

static void names_that_are_none(void **state)
{
	static const char *const names[] = { "a b", "a\"b", "a\nb", "\xc3\xa4.de", "" };
	char sni[256];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct hello h = make(names[i]), r = in_records(&h, 900);

		assert_int_equal(sniff(r.bytes, r.length, sni), SNIFF_YES);
		assert_string_equal(sni, "");
	}
}

static void other_beginnings(void **state)
{
	char sni[256];

	(void)state;
	assert_int_equal(sniff((const uint8_t *)"\x16\3\3\0\x40\2", 6, sni), SNIFF_YES);	/* ServerHello */
	assert_int_equal(sniff((const uint8_t *)"\x17\3\3\0\x40\xaa", 6, sni), SNIFF_YES);	/* joined late */
	assert_int_equal(sniff((const uint8_t *)"\x16\3\1\0\0\1", 6, sni), SNIFF_NO);
	assert_int_equal(sniff((const uint8_t *)"\x16\3\1\xff\xff\1", 6, sni), SNIFF_NO);
	assert_int_equal(sniff((const uint8_t *)"\x16\4\1", 3, sni), SNIFF_NO);
	assert_int_equal(sniff((const uint8_t *)"\xa5\3\1", 3, sni), SNIFF_NO);
	assert_null(sniff_known((const uint8_t *)"\x10\xff\xff\xff\xff", 5));
	assert_null(sniff_known((const uint8_t *)"\x10", 1));
	assert_null(sniff_known((const uint8_t *)"ping", 4));
	assert_string_equal(sniff_known((const uint8_t *)"\x10\x80\1\0\6MQIsdp", 11), "mqtt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_is_found_however_it_is_cut),
		cmocka_unit_test(lengths_are_not_believed),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(other_beginnings),
	};

	return cmocka_run_group_tests_name("sniff", tests, NULL, NULL);
}
