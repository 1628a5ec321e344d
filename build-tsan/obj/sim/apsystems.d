build-tsan/obj/sim/apsystems.o: src/sim/apsystems.c \
 src/protocols/reading_fill.h src/protocols/reading.h src/shared/util.h \
 src/sim/sim.h
src/protocols/reading_fill.h:
src/protocols/reading.h:
src/shared/util.h:
src/sim/sim.h:
