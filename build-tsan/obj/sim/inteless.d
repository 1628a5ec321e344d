build-tsan/obj/sim/inteless.o: src/sim/inteless.c \
 src/protocols/reading_fill.h src/protocols/reading.h src/shared/util.h \
 src/sim/sim.h
src/protocols/reading_fill.h:
src/protocols/reading.h:
src/shared/util.h:
src/sim/sim.h:
