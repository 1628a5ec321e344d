build-tsan/obj/tool/sim_device.o: src/tool/sim_device.c \
 src/protocols/reading_fill.h src/protocols/reading.h src/tool/output.h \
 src/protocols/session.h src/shared/util.h src/tool/sim_options.h \
 src/sim/sim.h
src/protocols/reading_fill.h:
src/protocols/reading.h:
src/tool/output.h:
src/protocols/session.h:
src/shared/util.h:
src/tool/sim_options.h:
src/sim/sim.h:
