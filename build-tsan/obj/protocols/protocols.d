build-tsan/obj/protocols/protocols.o: src/protocols/protocols.c \
 src/protocols/protocol.h src/protocols/knowledge.h src/protocols/clock.h \
 src/protocols/map.h src/protocols/reading.h src/protocols/session.h \
 src/shared/util.h
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
