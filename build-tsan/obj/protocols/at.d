build-tsan/obj/protocols/at.o: src/protocols/at.c src/protocols/at.h \
 src/protocols/reading_fill.h src/protocols/reading.h
src/protocols/at.h:
src/protocols/reading_fill.h:
src/protocols/reading.h:
