build-tsan/obj/protocols/map_head.o: src/protocols/map_head.c \
 src/protocols/map_load_private.h src/protocols/map.h \
 src/protocols/reading.h src/shared/util.h
src/protocols/map_load_private.h:
src/protocols/map.h:
src/protocols/reading.h:
src/shared/util.h:
