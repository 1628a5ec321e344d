build-tsan/obj/tool/sim_command.o: src/tool/sim_command.c \
 src/tool/sim_command.h src/tool/sim_options.h src/protocols/session.h \
 src/protocols/reading.h src/shared/util.h src/sim/sim.h
src/tool/sim_command.h:
src/tool/sim_options.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/sim/sim.h:
