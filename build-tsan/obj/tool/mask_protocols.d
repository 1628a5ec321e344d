build-tsan/obj/tool/mask_protocols.o: src/tool/mask_protocols.c \
 src/protocols/at.h src/protocols/modbus.h src/protocols/protocol.h \
 src/protocols/knowledge.h src/protocols/clock.h src/protocols/map.h \
 src/protocols/reading.h src/protocols/session.h src/shared/util.h \
 src/tool/mask.h
src/protocols/at.h:
src/protocols/modbus.h:
src/protocols/protocol.h:
src/protocols/knowledge.h:
src/protocols/clock.h:
src/protocols/map.h:
src/protocols/reading.h:
src/protocols/session.h:
src/shared/util.h:
src/tool/mask.h:
