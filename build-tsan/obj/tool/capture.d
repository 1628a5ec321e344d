build-tsan/obj/tool/capture.o: src/tool/capture.c src/tool/capture.h \
 src/tool/tcp.h src/shared/util.h
src/tool/capture.h:
src/tool/tcp.h:
src/shared/util.h:
