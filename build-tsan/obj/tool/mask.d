build-tsan/obj/tool/mask.o: src/tool/mask.c src/tool/mask.h \
 src/shared/util.h
src/tool/mask.h:
src/shared/util.h:
