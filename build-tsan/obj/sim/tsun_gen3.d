build-tsan/obj/sim/tsun_gen3.o: src/sim/tsun_gen3.c \
 src/protocols/reading_fill.h src/protocols/reading.h src/shared/util.h \
 src/sim/sim.h
src/protocols/reading_fill.h:
src/protocols/reading.h:
src/shared/util.h:
src/sim/sim.h:
