build-tsan/obj/suntapd/ruleset.o: src/suntapd/ruleset.c \
 src/suntapd/ruleset.h src/shared/config.h src/shared/util.h
src/suntapd/ruleset.h:
src/shared/config.h:
src/shared/util.h:
