build-tsan/obj/protocols/solarman_v5.o: src/protocols/solarman_v5.c \
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
