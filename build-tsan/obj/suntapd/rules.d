build-tsan/obj/suntapd/rules.o: src/suntapd/rules.c src/suntapd/rules.h \
 src/shared/config.h src/shared/util.h src/suntapd/netlink.h \
 src/suntapd/route.h src/suntapd/ruleset.h
src/suntapd/rules.h:
src/shared/config.h:
src/shared/util.h:
src/suntapd/netlink.h:
src/suntapd/route.h:
src/suntapd/ruleset.h:
