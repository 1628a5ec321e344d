build-tsan/obj/protocols/map_parse.o: src/protocols/map_parse.c \
 src/protocols/map_load_private.h src/protocols/map.h \
 src/protocols/reading.h
src/protocols/map_load_private.h:
src/protocols/map.h:
src/protocols/reading.h:
