build-tsan/obj/tool/capture_command.o: src/tool/capture_command.c \
 src/tool/capture_command.h src/shared/config.h src/tool/capture.h \
 src/tool/tcp.h src/shared/util.h src/tool/options.h src/tool/streams.h \
 src/protocols/session.h src/protocols/reading.h
src/tool/capture_command.h:
src/shared/config.h:
src/tool/capture.h:
src/tool/tcp.h:
src/shared/util.h:
src/tool/options.h:
src/tool/streams.h:
src/protocols/session.h:
src/protocols/reading.h:
