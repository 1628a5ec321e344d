build-tsan/obj/shared/util.o: src/shared/util.c src/shared/util.h
src/shared/util.h:
