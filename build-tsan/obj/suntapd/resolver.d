build-tsan/obj/suntapd/resolver.o: src/suntapd/resolver.c \
 src/suntapd/resolver.h src/shared/config.h src/shared/flow_entry.h \
 src/shared/util.h
src/suntapd/resolver.h:
src/shared/config.h:
src/shared/flow_entry.h:
src/shared/util.h:
