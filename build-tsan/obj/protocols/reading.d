build-tsan/obj/protocols/reading.o: src/protocols/reading.c \
 src/protocols/reading.h src/protocols/reading_fill.h
src/protocols/reading.h:
src/protocols/reading_fill.h:
