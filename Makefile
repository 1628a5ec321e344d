# SPDX-License-Identifier: GPL-2.0-or-later
# suntap: make, make demo, make check, make install; see README.md

# ---------------------------------------------------------------- settings
VERSION  := 0.1.0
PREFIX   ?= /usr
DESTDIR  ?=
CC       ?= gcc
PYTHON   ?= /usr/bin/python3
BUILD    ?= build
O        ?= -O2
SANITIZE ?=
LIBEXEC   = $(PREFIX)/lib/suntap
DATA      = $(PREFIX)/share/suntap

# What `make deps` sees to, on Debian 12.
PACKAGES := gcc make pkg-config libc6-dev libnftnl-dev libmnl-dev libsystemd-dev libseccomp-dev \
	libinih-dev libpcap-dev libcap-ng-dev libcurl4-openssl-dev zlib1g-dev libjansson-dev libmicrohttpd-dev libmosquitto-dev
PACKAGES_DEMO := $(PACKAGES) nftables iproute2 procps util-linux systemd python3
PACKAGES_CHECK := $(PACKAGES_DEMO) iptables clang cppcheck mandoc shellcheck libcmocka-dev python3-pytest python3-pytest-xdist dbus iputils-ping \
	influxdb victoria-metrics systemd-journal-remote openssl bsdutils prometheus curl ca-certificates \
	libnss-systemd mosquitto mosquitto-clients python3-paho-mqtt python3-jsonschema libclang-rt-14-dev
PACKAGES_BENCH := $(PACKAGES_CHECK) haproxy
PACKAGES_VALGRIND := $(PACKAGES_CHECK) valgrind libc6-dbg
PACKAGES_VM := $(PACKAGES_CHECK) qemu-system-x86 qemu-system-common busybox-static kmod cpio

# ---------------------------------------------------------------- flags
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wno-format-nonliteral \
	$(if $(CI),-Werror)
HARDENING := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
CPPFLAGS += -D_GNU_SOURCE -Isrc -DSUNTAP_VERSION='"$(VERSION)"' -DSUNTAP_DATA='"$(DATA)"' \
	-DSUNTAP_LIBEXEC='"$(LIBEXEC)"'
CFLAGS   ?= -g
ALL_CFLAGS = -std=gnu17 $(O) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer,$(HARDENING)) \
	$(WARNINGS) $(CFLAGS)
ALL_LDFLAGS = $(if $(SANITIZE),-fsanitize=$(SANITIZE),-pie -Wl,-z,relro,-z,now) -Wl,--as-needed $(LDFLAGS)
Q := $(if $(V),,@)

# ---------------------------------------------------------------- objects
# One folder of src/ is one archive; a program is its folder's main.c and the archives it may use.
PROGRAMS := suntapd suntap-decoder suntap suntap-export
folder_objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(filter-out %/main.c,$(wildcard src/$(1)/*.c)))

LIBS_shared    := -linih -lsystemd
LIBS_suntapd   := -lnftnl -lmnl -lseccomp -lsystemd -lresolv
LIBS_protocols := -ljansson
LIBS_decoder   := -lseccomp -lcap-ng -lsystemd
LIBS_tool      := -lpcap
LIBS_sim       := -lm
LIBS_export    := -lcurl -lz -ljansson -lmicrohttpd -lmosquitto -lm -lsystemd

USES_suntapd        := suntapd shared
USES_suntap-decoder := decoder protocols shared
USES_suntap         := tool sim protocols shared
USES_suntap-export  := export protocols shared

.PHONY: all
all: $(PROGRAMS:%=$(BUILD)/%)

define folder_rules
$(BUILD)/$(1).a: $(call folder_objects,$(1))
	$$(Q)mkdir -p $$(@D) && rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach f,suntapd decoder tool sim protocols export shared,$(eval $(call folder_rules,$(f))))

define program_rules
$(BUILD)/$(1): $(BUILD)/obj/$(firstword $(USES_$(1)))/main.o $(patsubst %,$(BUILD)/%.a,$(USES_$(1)))
	@echo "  LINK $$@"
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $(foreach u,$(USES_$(1)),$(LIBS_$(u)))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$(p))))

# Objects of another compiler or another PREFIX are no use.
$(BUILD)/settings: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(CC) $(O) $(SANITIZE) $(PREFIX) $(CFLAGS)' | cmp -s - $@ || \
		printf '%s\n' '$(CC) $(O) $(SANITIZE) $(PREFIX) $(CFLAGS)' >$@
.PHONY: FORCE

$(BUILD)/obj/%.o: src/%.c Makefile $(BUILD)/settings
	@echo "  CC   $<"
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard $(BUILD)/obj/*/*.d)

# ---------------------------------------------------------------- packages
# Quiet, and does nothing where everything is there.
install_packages = @missing=$$(dpkg-query -W -f '$${db:Status-Abbrev} $${Package}\n' $(1) 2>/dev/null | \
	awk '$$1 == "ii" { print $$2 }' | sort >$(BUILD)/.have; printf '%s\n' $(1) | sort -u | comm -23 - $(BUILD)/.have); \
	if [ -n "$$missing" ]; then echo "  APT  "$$missing; \
	apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	--no-install-recommends $$missing >$(BUILD)/apt.log 2>&1 || { cat $(BUILD)/apt.log; exit 1; }; fi

.PHONY: deps deps-demo deps-check deps-bench deps-valgrind deps-vm
deps:       WANTED = $(PACKAGES)
deps-demo:  WANTED = $(PACKAGES_DEMO)
deps-check: WANTED = $(PACKAGES_CHECK)
deps-bench: WANTED = $(PACKAGES_BENCH)
deps-valgrind: WANTED = $(PACKAGES_VALGRIND)
deps-vm:    WANTED = $(PACKAGES_VM)
deps deps-demo deps-check deps-bench deps-valgrind deps-vm:
	@mkdir -p $(BUILD)
	$(call install_packages,$(WANTED))

# ---------------------------------------------------------------- demo
# Three hosts in network namespaces, a journald of its own, captured bytes through the real thing. Needs root.
.PHONY: demo
demo: deps-demo
	@$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/suntapd $(BUILD)/suntap-decoder $(BUILD)/suntap
	@BUILD=$(abspath $(BUILD)) tests/demo/demo

# ---------------------------------------------------------------- lint
# Each header alone, both compilers without a warning, cppcheck, manuals, scripts.
HEADERS := $(wildcard src/*/*.h)
SCRIPTS := $(wildcard .ci/run tests/demo/demo tests/lab/*-lab tests/*/*.sh)

.PHONY: lint lint-headers lint-gcc lint-clang lint-cppcheck lint-manuals lint-scripts
lint: lint-headers lint-gcc lint-clang lint-cppcheck lint-manuals lint-scripts

lint-headers: $(HEADERS:%=$(BUILD)/lint/%.alone)
$(BUILD)/lint/%.h.alone: %.h
	$(Q)mkdir -p $(@D) && echo '#include "$(<:src/%=%)"' | \
		gcc $(CPPFLAGS) -std=gnu17 $(WARNINGS) -Werror -fsyntax-only -x c - && touch $@

lint-gcc lint-clang: lint-%:
	@$(MAKE) --no-print-directory CI=1 CC=$* BUILD=$(BUILD)/lint/$* all tests

lint-cppcheck:
	@echo "  CPPCHECK"
	$(Q)mkdir -p $(BUILD)/lint/cppcheck && cppcheck --quiet --error-exitcode=1 --std=c11 --language=c \
		--enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
		--cppcheck-build-dir=$(BUILD)/lint/cppcheck -D_GNU_SOURCE -D__linux__ \
		-D'SD_JOURNAL_FOREACH_UNIQUE(j,d,l)=while (sd_journal_enumerate_unique(j, &d, &l) > 0)' -Isrc src

# Manuals of other packages need not be installed here; ours find each other in man/.
lint-manuals:
	@echo "  MANDOC"
	$(Q)cd man && ! mandoc -Tlint *.[1-8] 2>/dev/null | grep -v 'referenced manual not found'
	$(Q)cd man && ! mandoc -Tlint *.[1-8] 2>/dev/null | grep 'referenced manual not found: Xr suntap'

lint-scripts:
	@echo "  SHELLCHECK"
	$(Q)shellcheck $(SCRIPTS)

# ---------------------------------------------------------------- check
# Unit tests may use every folder. Tools are what the system tests need in C: a device, a cloud.
TEST_FOLDERS := suntapd decoder export protocols shared
UNIT_TESTS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
TEST_TOOLS   := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))
PYTEST       ?= -q

$(BUILD)/tests/test_%: tests/unit/test_%.c $(TEST_FOLDERS:%=$(BUILD)/%.a) Makefile
	@echo "  CC   $@"
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $< \
		-Wl,--start-group $(TEST_FOLDERS:%=$(BUILD)/%.a) -Wl,--end-group \
		$(sort $(foreach f,$(TEST_FOLDERS),$(LIBS_$(f)))) -lcmocka
# This one enters the decoder's own sandbox.
$(BUILD)/tests/hostile: tests/tools/hostile.c $(BUILD)/decoder.a $(BUILD)/shared.a
	@echo "  CC   $@"
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $(filter %.c %.a,$^) $(LIBS_decoder) $(LIBS_shared)
$(BUILD)/tests/%: tests/tools/%.c Makefile
	@echo "  CC   $@"
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $<

-include $(wildcard $(BUILD)/tests/*.d)

.PHONY: tests check check-unit check-system soak
tests: $(UNIT_TESTS) $(TEST_TOOLS)

check: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) CI=1 lint all
	@$(MAKE) --no-print-directory CI=1 check-unit
	@$(MAKE) --no-print-directory check-fuzz
	@$(MAKE) --no-print-directory CI=1 check-system PYTEST="$(PYTEST) -n 3 --dist loadfile"

check-unit: $(UNIT_TESTS)
	@failed=; for t in $(UNIT_TESTS); do timeout 120 $$t || failed="$$failed $$t"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# PYTEST="-k reset -v": some of them, and how
check-system: all $(TEST_TOOLS)
	@BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest $(PYTEST) tests/system

# The same tests, longer and with more of everything.
soak: deps-check
	@$(MAKE) --no-print-directory SUNTAP_SOAK=$(or $(SUNTAP_SOAK),10) check-system

# ---------------------------------------------------------------- vm
# Debian's own kernel under qemu: what needs cgroup controllers, modules, capabilities that a container has not. VM_MEMORY=512 is a
# small router's, and too little for the database beside the exporters.
VM_MEMORY ?= 1024
VM_TESTS ?= tests/system/test_service.py tests/system/test_survival.py tests/system/test_export_service.py::test_the_service \
	tests/system/test_export_service.py::test_the_other_kinds tests/vm

# A machine for each: they install over what is there.
.PHONY: check-vm
check-vm: deps-vm
	@$(MAKE) --no-print-directory -j$$(nproc) all tests
	@failed=; for t in $(VM_TESTS); do \
		tests/lab/vm-lab --net --memory $(VM_MEMORY) --timeout 3000 -- env SUNTAP_VM=1 SUNTAP_SLOWER=8 BUILD=$(abspath $(BUILD)) \
			$(PYTHON) -B -m pytest -p no:cacheprovider $(PYTEST) $$t || failed="$$failed $$t"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# ---------------------------------------------------------------- asan
# The tests of `make check`, under AddressSanitizer (with leaks) and UndefinedBehaviorSanitizer.
.PHONY: asan
asan: deps-check
	@export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1 \
			SUNTAP_SLOWER=3; \
		m="$(MAKE) --no-print-directory BUILD=build-asan SANITIZE=address,undefined O=-O1"; \
		$$m -j$$(nproc) all tests && $$m check-unit check-system

# ---------------------------------------------------------------- valgrind
# Under memcheck: the unit tests, the decoding of all vectors, and system tests (not those with a systemd of their own, which runs
# what is installed). Each program is stood for by a script of its name; what it starts in the tests is as quick as ever.
VALGRIND_TESTS ?= bytes decoder journal kernel life network rules tcp ways capture export_core export_mqtt export_metrics \
	export_influxdb export_splunk
VALGRIND_BUILD := build-valgrind

.PHONY: valgrind valgrind-programs
valgrind: deps-valgrind valgrind-programs
	@failed=; for t in $(UNIT_TESTS:$(BUILD)/%=$(VALGRIND_BUILD)/valgrind/%); do timeout 600 $$t || failed="$$failed $$t"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }
	@$(VALGRIND_BUILD)/valgrind/suntap decode --json --frames tests/vectors/*/*.txt >$(VALGRIND_BUILD)/decoded.json
	@SUNTAP_SLOWER=8 BUILD=$(abspath $(VALGRIND_BUILD)/valgrind) $(PYTHON) -m pytest $(PYTEST) \
		$(VALGRIND_TESTS:%=tests/system/test_%.py)

valgrind-programs:
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(VALGRIND_BUILD) O=-O1 CFLAGS='-g -DSUNTAP_VALGRIND' all tests
	@mkdir -p $(VALGRIND_BUILD)/valgrind/tests; \
		for p in suntapd suntap suntap-export $(UNIT_TESTS:$(BUILD)/%=%); do \
			ln -sf $(abspath tests/tools/valgrind.sh) $(VALGRIND_BUILD)/valgrind/$$p; done; \
		ln -sf $(abspath $(VALGRIND_BUILD))/suntap-decoder $(VALGRIND_BUILD)/valgrind/; \
		ln -sf $(TEST_TOOLS:$(BUILD)/%=$(abspath $(VALGRIND_BUILD))/%) $(VALGRIND_BUILD)/valgrind/tests/

# ---------------------------------------------------------------- install
# mode:source:folder; what is installed is what uninstall removes
INSTALLED := \
	755:$(BUILD)/suntapd:$(PREFIX)/sbin \
	755:$(BUILD)/suntap:$(PREFIX)/bin \
	755:$(BUILD)/suntap-export:$(PREFIX)/bin \
	755:$(BUILD)/suntap-decoder:$(LIBEXEC) \
	$(patsubst %,644:%:$(DATA)/maps,$(wildcard maps/*.ini)) \
	644:nft/suntap.nft:$(PREFIX)/share/doc/suntap \
	644:$(BUILD)/suntapd.service:$(PREFIX)/lib/systemd/system \
	644:$(BUILD)/suntap-export@.service:$(PREFIX)/lib/systemd/system \
	644:$(BUILD)/suntap.conf:$(PREFIX)/lib/sysusers.d \
	644:systemd/suntap.catalog:$(PREFIX)/lib/systemd/catalog \
	$(foreach s,1 5 7 8,$(patsubst %,644:%:$(PREFIX)/share/man/man$(s),$(wildcard man/*.$(s)))) \
	$(patsubst %,644:%:$(PREFIX)/share/doc/suntap,README.md CHANGELOG.md config.example.ini docs/architecture.md)
field = $(word $(1),$(subst :, ,$(2)))

$(BUILD)/suntapd.service: systemd/suntapd.service Makefile $(BUILD)/settings
	$(Q)sed '/^# Paths are/d; s,/usr/sbin/suntapd,$(PREFIX)/sbin/suntapd,; s,/usr/lib/suntap/,$(LIBEXEC)/,' $< >$@
$(BUILD)/suntap-export@.service: systemd/suntap-export@.service Makefile $(BUILD)/settings
	$(Q)sed '/^# Paths are/d; s,/usr/bin/suntap-export,$(PREFIX)/bin/suntap-export,' $< >$@
$(BUILD)/suntap.conf: systemd/suntap.sysusers
	$(Q)cp $< $@

.PHONY: install uninstall
install: all $(BUILD)/suntapd.service $(BUILD)/suntap-export@.service $(BUILD)/suntap.conf
	$(Q)set -e; $(foreach i,$(INSTALLED),install -D -m $(call field,1,$(i)) -t $(DESTDIR)$(call field,3,$(i)) $(call field,2,$(i));)
	$(Q)install -d -m 755 $(DESTDIR)/etc/suntap/maps
	@printf '%s\n' '' 'suntap is installed$(if $(DESTDIR), in $(DESTDIR)). Next:' \
		'  systemd-sysusers && systemctl daemon-reload && journalctl --update-catalog' \
		'  cp $(PREFIX)/share/doc/suntap/config.example.ini /etc/suntap/suntap.ini   # then edit it' \
		'  suntapd --check && systemctl enable --now suntapd' \
		'  journalctl -t suntap -p info -f'

# Leaves what is yours: /etc/suntap/suntap.ini, your maps, the user.
uninstall:
	$(Q)rm -f $(foreach i,$(INSTALLED),$(DESTDIR)$(call field,3,$(i))/$(notdir $(call field,2,$(i))))
	$(Q)for d in $(LIBEXEC) $(DATA)/maps $(DATA) $(PREFIX)/share/doc/suntap /etc/suntap/maps /etc/suntap; do \
		[ ! -d $(DESTDIR)$$d ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$d; done

# ---------------------------------------------------------------- fuzz
# A libFuzzer program for each tests/fuzz/fuzz_*.c; it may use all folders, and have a file of one in itself to reach what is
# static there (its definition then comes before the archive's). FUZZ=name for one of them. Beside the sources, as programs that
# run from their build folder find their maps there.
FUZZ_SECONDS ?= 20
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_JOBS    ?= 1
FUZZ_BUILD   := build-fuzz
FUZZ_FOLDERS := suntapd tool sim decoder export protocols shared
FUZZ_FLAGS   := -print_final_stats=1 -verbosity=0 -max_len=16384 -rss_limit_mb=2048 -timeout=10

.PHONY: fuzz check-fuzz fuzz-programs fuzz-corpus
fuzz: deps-check fuzz-programs
	@$(MAKE) --no-print-directory -j$(FUZZ_JOBS) $(FUZZ:%=fuzz-run-%)

# All seeds and what two seconds of each find more.
check-fuzz: fuzz-programs
	@rm -rf $(FUZZ_BUILD)/check
	@$(MAKE) --no-print-directory -j$$(nproc) FUZZ_SECONDS=2 FUZZ_FOUND=check $(FUZZ:%=fuzz-run-%)

fuzz-run-%: fuzz-corpus
	@mkdir -p $(FUZZ_BUILD)/$(or $(FUZZ_FOUND),found)/$*
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $(FUZZ_BUILD)/fuzz_$* $(FUZZ_FLAGS) -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(FUZZ_BUILD)/crash-$*- \
		$(FUZZ_BUILD)/$(or $(FUZZ_FOUND),found)/$* $(FUZZ_BUILD)/corpus/$* >$(FUZZ_BUILD)/$*.log 2>&1 || \
		{ echo "  FUZZ $*:"; tail -n 60 $(FUZZ_BUILD)/$*.log; exit 1; }
	@echo "  FUZZ $*, $(FUZZ_SECONDS) s: $$(sed -n 's/^stat::number_of_executed_units: //p' $(FUZZ_BUILD)/$*.log)"

fuzz-programs:
	@$(MAKE) --no-print-directory -j$$(nproc) CC=clang BUILD=$(FUZZ_BUILD) SANITIZE=fuzzer-no-link,address,undefined \
		$(FUZZ_FOLDERS:%=$(FUZZ_BUILD)/%.a)
	@$(MAKE) --no-print-directory -j$$(nproc) CC=clang $(FUZZ:%=$(FUZZ_BUILD)/fuzz_%)

$(FUZZ_BUILD)/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(wildcard $(FUZZ_BUILD)/*.a)
	@echo "  LINK $@"
	$(Q)clang $(CPPFLAGS) -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -o $@ $< -Wl,-z,muldefs \
		-Wl,--start-group $(FUZZ_FOLDERS:%=$(FUZZ_BUILD)/%.a) -Wl,--end-group -Wl,--as-needed \
		$(sort $(foreach f,$(FUZZ_FOLDERS),$(LIBS_$(f))))

# From tests/vectors, and from tests/fuzz/corpus/NAME where there is one.
fuzz-corpus:
	@for f in $(FUZZ); do $(PYTHON) tests/fuzz/corpus.py $$f $(FUZZ_BUILD)/corpus/$$f; done

# ---------------------------------------------------------------- clean
.PHONY: clean
clean:
	rm -rf $(BUILD) build-*

# ---------------------------------------------------------------- bench
$(BUILD)/bench/load: tests/bench/load.c
	$(Q)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE -std=gnu17 -O2 -Wall -Wextra -o $@ $<
$(BUILD)/bench/drain: tests/bench/drain.c $(BUILD)/shared.a
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $^

$(BUILD)/bench/decode: tests/bench/decode.c $(BUILD)/protocols.a $(BUILD)/shared.a
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $^ $(LIBS_protocols) $(LIBS_shared)

$(BUILD)/bench/journal: tests/bench/journal.c $(BUILD)/decoder.a $(BUILD)/protocols.a $(BUILD)/shared.a
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $^ $(LIBS_decoder) $(LIBS_protocols) $(LIBS_shared)

$(BUILD)/bench/walk: tests/bench/walk.c
	$(Q)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE -std=gnu17 -O2 -Wall -Wextra -o $@ $< -lsystemd

# Beside HAProxy and plain forwarding, in namespaces of its own; nothing else should run on the machine.
.PHONY: bench
bench: deps-bench all $(BUILD)/bench/load $(BUILD)/bench/drain $(BUILD)/bench/decode $(BUILD)/bench/journal $(BUILD)/bench/walk
	unshare --net tests/lab/journal-lab sh -c 'tests/lab/net-lab --here && BUILD=$(abspath $(BUILD)) $(PYTHON) tests/bench/bench.py'
	BUILD=$(abspath $(BUILD)) $(PYTHON) tests/bench/export.py $(SUNTAP_BENCH_ENTRIES)

# ---------------------------------------------------------------- help
.PHONY: help
help:
	@printf '%s\n' \
		'make              build/suntapd, build/suntap-decoder, build/suntap' \
		'make demo         as root: captured bytes through the real thing, in network namespaces' \
		'make check        as root: build without warnings, lint, unit tests, fuzzers for 2 s each, whole-system tests' \
		'make asan         as root: the tests under ASan and UBSan' \
		'make valgrind    as root: unit tests, decoding and system tests under memcheck' \
		'make soak         as root: the system tests, ten times as long' \
		'make check-vm     as root: the service on Debian'"'"'s kernel, in qemu; 20 minutes and more' \
		'make fuzz         a fuzzer for each parser; FUZZ_SECONDS=20, FUZZ=name' \
		'make bench        as root: beside HAProxy and beside plain forwarding' \
		'make lint         headers alone, gcc and clang, cppcheck, manuals, scripts' \
		'make deps         what a build needs, by apt; also deps-demo, deps-check, deps-bench, deps-vm' \
		'make install      PREFIX=/usr DESTDIR=' \
		'make uninstall    the same PREFIX and DESTDIR; leaves your configuration' \
		'make clean        BUILD=build' \
		'' 'CC=clang, CI=1 (warnings are errors), V=1 (show commands), SANITIZE=address,undefined'
