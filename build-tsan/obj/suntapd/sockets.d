build-tsan/obj/suntapd/sockets.o: src/suntapd/sockets.c \
 src/suntapd/sockets.h src/shared/flow_entry.h src/shared/util.h
src/suntapd/sockets.h:
src/shared/flow_entry.h:
src/shared/util.h:
