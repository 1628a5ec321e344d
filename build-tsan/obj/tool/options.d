build-tsan/obj/tool/options.o: src/tool/options.c src/tool/options.h
src/tool/options.h:
