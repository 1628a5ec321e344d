build-tsan/obj/protocols/apsystems_local.o: \
 src/protocols/apsystems_local.c src/protocols/apsystems.h \
 src/protocols/protocol.h src/protocols/knowledge.h src/protocols/clock.h \
 src/protocols/map.h src/protocols/reading.h src/protocols/session.h \
 src/shared/util.h src/protocols/reading_fill.h
src/protocols/apsystems.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/protocols/reading_fill.h:
