build-tsan/obj/protocols/map_load.o: src/protocols/map_load.c \
 src/protocols/map_load_private.h src/protocols/map.h \
 src/protocols/reading.h src/protocols/reading_fill.h src/shared/util.h
src/protocols/map_load_private.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/reading_fill.h:
src/shared/util.h:
