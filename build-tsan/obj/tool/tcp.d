build-tsan/obj/tool/tcp.o: src/tool/tcp.c src/tool/tcp.h \
 src/shared/util.h
src/tool/tcp.h:
src/shared/util.h:
