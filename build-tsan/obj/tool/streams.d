build-tsan/obj/tool/streams.o: src/tool/streams.c src/tool/streams.h \
 src/protocols/session.h src/protocols/reading.h src/shared/util.h \
 src/tool/tcp.h src/tool/mask.h src/tool/pcapng.h
src/tool/streams.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/tool/tcp.h:
src/tool/mask.h:
src/tool/pcapng.h:
