build-tsan/obj/sim/sim.o: src/sim/sim.c src/sim/sim.h \
 src/protocols/reading.h src/protocols/reading_fill.h src/shared/util.h
src/sim/sim.h:
src/protocols/reading.h:
src/protocols/reading_fill.h:
src/shared/util.h:
