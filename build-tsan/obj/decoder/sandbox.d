build-tsan/obj/decoder/sandbox.o: src/decoder/sandbox.c \
 src/decoder/sandbox.h src/shared/util.h
src/decoder/sandbox.h:
src/shared/util.h:
