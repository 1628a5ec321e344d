build-tsan/obj/sim/alphaess.o: src/sim/alphaess.c src/protocols/modbus.h \
 src/protocols/protocol.h src/protocols/knowledge.h src/protocols/clock.h \
 src/protocols/map.h src/protocols/reading.h src/protocols/session.h \
 src/shared/util.h src/protocols/reading_fill.h src/sim/sim.h
src/protocols/modbus.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/reading_fill.h:
src/sim/sim.h:
