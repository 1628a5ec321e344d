build-tsan/obj/protocols/growatt.o: src/protocols/growatt.c \
 src/protocols/growatt.h src/protocols/protocol.h \
 src/protocols/knowledge.h src/protocols/clock.h src/protocols/map.h \
 src/protocols/reading.h src/protocols/session.h src/shared/util.h \
 src/protocols/modbus.h src/protocols/reading_fill.h
src/protocols/growatt.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/modbus.h:
src/protocols/reading_fill.h:
