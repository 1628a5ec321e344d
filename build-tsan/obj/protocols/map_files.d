build-tsan/obj/protocols/map_files.o: src/protocols/map_files.c \
 src/protocols/map.h src/protocols/reading.h
src/protocols/map.h:
src/protocols/reading.h:
