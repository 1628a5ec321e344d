build-tsan/obj/protocols/growatt_command.o: \
 src/protocols/growatt_command.c src/protocols/growatt.h \
 src/protocols/protocol.h src/protocols/knowledge.h src/protocols/clock.h \
 src/protocols/map.h src/protocols/reading.h src/protocols/session.h \
 src/shared/util.h src/protocols/reading_fill.h
src/protocols/growatt.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/reading_fill.h:
