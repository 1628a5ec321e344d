build-tsan/obj/tool/pcapng.o: src/tool/pcapng.c src/tool/pcapng.h \
 src/tool/tcp.h src/shared/util.h
src/tool/pcapng.h:
src/tool/tcp.h:
src/shared/util.h:
