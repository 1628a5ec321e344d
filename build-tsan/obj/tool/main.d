build-tsan/obj/tool/main.o: src/tool/main.c src/shared/util.h \
 src/tool/capture_command.h src/tool/decode.h src/tool/maps_command.h \
 src/tool/sim_command.h
src/shared/util.h:
src/tool/capture_command.h:
src/tool/decode.h:
src/tool/maps_command.h:
src/tool/sim_command.h:
