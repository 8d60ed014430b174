/* A module of Redis: whatever it does when it is loaded, it does as the server. This one leaves a file. */
#include <stdio.h>
#include <unistd.h>

int RedisModule_OnLoad(void *context, void **arguments, int count)
{
	FILE *file = fopen("/var/lib/redis/owned", "w");

	(void)context, (void)arguments, (void)count;
	if (file) {
		fprintf(file, "code of a stranger ran as uid %d\n", (int)getuid());
		fclose(file);
	}
	return 1; /* REDISMODULE_ERR: it is unloaded again. The deed is done. */
}
