build-tsan/obj/suntapd/route.o: src/suntapd/route.c src/suntapd/route.h \
 src/shared/config.h src/shared/util.h src/suntapd/netlink.h
src/suntapd/route.h:
src/shared/config.h:
src/shared/util.h:
src/suntapd/netlink.h:
