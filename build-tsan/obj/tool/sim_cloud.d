build-tsan/obj/tool/sim_cloud.o: src/tool/sim_cloud.c src/tool/output.h \
 src/protocols/session.h src/protocols/reading.h src/shared/util.h \
 src/tool/sim_options.h src/sim/sim.h
src/tool/output.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/tool/sim_options.h:
src/sim/sim.h:
