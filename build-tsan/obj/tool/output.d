build-tsan/obj/tool/output.o: src/tool/output.c src/tool/output.h \
 src/protocols/session.h src/protocols/reading.h src/shared/util.h \
 src/protocols/vocabulary.h
src/tool/output.h:
src/protocols/session.h:
src/protocols/reading.h:
src/shared/util.h:
src/protocols/vocabulary.h:
