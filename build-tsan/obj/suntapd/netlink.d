build-tsan/obj/suntapd/netlink.o: src/suntapd/netlink.c \
 src/suntapd/netlink.h src/shared/util.h
src/suntapd/netlink.h:
src/shared/util.h:
