build-tsan/obj/protocols/modbus_bare.o: src/protocols/modbus_bare.c \
 src/protocols/at.h src/protocols/modbus.h src/protocols/protocol.h \
 src/protocols/knowledge.h src/protocols/clock.h src/protocols/map.h \
 src/protocols/reading.h src/protocols/session.h src/shared/util.h \
 src/protocols/reading_fill.h
src/protocols/at.h:
src/protocols/modbus.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/reading_fill.h:
