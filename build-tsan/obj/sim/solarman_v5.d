build-tsan/obj/sim/solarman_v5.o: src/sim/solarman_v5.c \
 src/protocols/reading_fill.h src/protocols/reading.h src/shared/util.h \
 src/sim/sim.h
src/protocols/reading_fill.h:
src/protocols/reading.h:
src/shared/util.h:
src/sim/sim.h:
