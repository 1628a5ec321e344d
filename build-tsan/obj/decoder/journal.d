build-tsan/obj/decoder/journal.o: src/decoder/journal.c \
 src/decoder/journal.h src/protocols/session.h src/protocols/reading.h \
 src/shared/util.h src/shared/flow_entry.h src/protocols/clock.h \
 src/shared/message_ids.h
src/decoder/journal.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/shared/flow_entry.h:
src/protocols/clock.h:
src/shared/message_ids.h:
