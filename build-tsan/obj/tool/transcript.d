build-tsan/obj/tool/transcript.o: src/tool/transcript.c \
 src/tool/transcript.h src/protocols/session.h src/protocols/reading.h \
 src/shared/util.h
src/tool/transcript.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
