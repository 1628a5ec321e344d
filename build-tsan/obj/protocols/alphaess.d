build-tsan/obj/protocols/alphaess.o: src/protocols/alphaess.c \
 src/protocols/alphaess_body.h src/protocols/modbus.h \
 src/protocols/protocol.h src/protocols/knowledge.h src/protocols/clock.h \
 src/protocols/map.h src/protocols/reading.h src/protocols/session.h \
 src/shared/util.h src/protocols/reading_fill.h
src/protocols/alphaess_body.h:
src/protocols/modbus.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/reading_fill.h:
