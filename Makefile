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
	libinih-dev libpcap-dev libcap-ng-dev
PACKAGES_CHECK := $(PACKAGES) clang cppcheck mandoc libcmocka-dev python3 python3-pytest nftables iproute2 \
	conntrack procps util-linux systemd dbus libnss-systemd
PACKAGES_BENCH := $(PACKAGES_CHECK) haproxy
PACKAGES_FUZZ := $(PACKAGES_CHECK) libclang-rt-14-dev

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
PROGRAMS := suntapd suntap-decoder suntap
folder_objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(filter-out %/main.c,$(wildcard src/$(1)/*.c)))

LIBS_shared    := -linih -lsystemd
LIBS_suntapd   := -lnftnl -lmnl -lsystemd -lresolv
LIBS_decoder   := -lseccomp -lcap-ng -lsystemd
LIBS_tool      := -lpcap

USES_suntapd        := suntapd shared
USES_suntap-decoder := decoder protocols shared
USES_suntap         := tool protocols shared

.PHONY: all
all: $(PROGRAMS:%=$(BUILD)/%)

define folder_rules
$(BUILD)/$(1).a: $(call folder_objects,$(1))
	$$(Q)mkdir -p $$(@D) && rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach f,suntapd decoder tool protocols shared,$(eval $(call folder_rules,$(f))))

define program_rules
$(BUILD)/$(1): $(BUILD)/obj/$(firstword $(USES_$(1)))/main.o $(patsubst %,$(BUILD)/%.a,$(USES_$(1)))
	@echo "  LINK $$@"
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $(foreach u,$(USES_$(1)),$(LIBS_$(u)))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$(p))))

$(BUILD)/obj/%.o: src/%.c Makefile
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

.PHONY: deps deps-check deps-bench deps-fuzz
deps deps-check deps-bench deps-fuzz: deps%:
	@mkdir -p $(BUILD)
	$(call install_packages,$(if $(filter -check,$*),$(PACKAGES_CHECK),$(if $(filter -bench,$*),$(PACKAGES_BENCH),$(if $(filter -fuzz,$*),$(PACKAGES_FUZZ),$(PACKAGES)))))

# ---------------------------------------------------------------- clean
.PHONY: clean
clean:
	rm -rf $(BUILD)

# ---------------------------------------------------------------- bench
$(BUILD)/bench/load: tests/bench/load.c
	$(Q)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE -std=gnu17 -O2 -Wall -Wextra -o $@ $<
$(BUILD)/bench/drain: tests/bench/drain.c $(BUILD)/shared.a
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $^

# Beside HAProxy and plain forwarding, in namespaces of its own; nothing else should run on the machine.
.PHONY: bench
bench: deps-bench all $(BUILD)/bench/load $(BUILD)/bench/drain
	tests/lab/net-lab $(PYTHON) tests/bench/bench.py
