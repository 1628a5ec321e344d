build-tsan/obj/suntapd/firewall.o: src/suntapd/firewall.c \
 src/suntapd/firewall.h src/shared/config.h src/shared/util.h \
 src/suntapd/netlink.h src/suntapd/ruleset.h
src/suntapd/firewall.h:
src/shared/config.h:
src/shared/util.h:
src/suntapd/netlink.h:
src/suntapd/ruleset.h:
