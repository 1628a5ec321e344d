build-tsan/obj/protocols/session.o: src/protocols/session.c \
 src/protocols/session.h src/protocols/reading.h src/shared/util.h \
 src/protocols/at.h src/protocols/protocol.h src/protocols/knowledge.h \
 src/protocols/clock.h src/protocols/map.h src/protocols/reading_fill.h \
 src/protocols/sniff.h
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/protocols/at.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading_fill.h:
src/protocols/sniff.h:
