build-tsan/obj/decoder/main.o: src/decoder/main.c src/decoder/journal.h \
 src/protocols/session.h src/protocols/reading.h src/shared/util.h \
 src/shared/flow_entry.h src/decoder/routine.h src/decoder/sandbox.h \
 src/shared/control.h src/shared/log.h src/shared/ring.h
src/decoder/journal.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/shared/flow_entry.h:
src/decoder/routine.h:
src/decoder/sandbox.h:
src/shared/control.h:
src/shared/log.h:
src/shared/ring.h:
