#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Stands for a program in the folder build-valgrind/valgrind, which `make valgrind` calls BUILD: runs the one of that name beside
# the folder, under memcheck, with all that it starts. The pid stays what it was.
tests=$(dirname "$(realpath "$0")")/..
exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible \
	--errors-for-leak-kinds=definite,possible --num-callers=30 --trace-children=yes --vgdb=no \
	--suppressions="$tests/valgrind.supp" ${SUNTAP_VALGRIND_LOG:+--log-file="$SUNTAP_VALGRIND_LOG.%p"} \
	"${0%/valgrind/*}/${0##*/valgrind/}" "$@"
