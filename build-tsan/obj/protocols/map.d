build-tsan/obj/protocols/map.o: src/protocols/map.c src/protocols/map.h \
 src/protocols/reading.h src/protocols/reading_fill.h
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/reading_fill.h:
