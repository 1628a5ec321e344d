build-tsan/obj/tool/decode.o: src/tool/decode.c src/tool/decode.h \
 src/protocols/maps_folders.h src/protocols/session.h \
 src/protocols/reading.h src/shared/util.h src/tool/capture.h \
 src/tool/tcp.h src/tool/options.h src/tool/output.h \
 src/tool/transcript.h
src/tool/decode.h:
src/protocols/maps_folders.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/tool/capture.h:
src/tool/tcp.h:
src/tool/options.h:
src/tool/output.h:
src/tool/transcript.h:
