/*
 * Many mdevs: how long create, remove and listing take at a population. Prints one line of JSON for each population given,
 * microseconds: p50 of create and of remove, and p50 of listing for each entry (readdir, then readlink of every one).
 *
 * Usage: mdevs SYS TYPE POPULATION... (ascending). Fills the parents of SYS/class/mdev_bus one after the other.
 */
#define _GNU_SOURCE
#include "common.h"
#include <dirent.h>

#define CYCLES 200
#define LISTINGS 15

static const char *sys, *type;
static char parents[8192][256];
static int parent_count, full;

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	int done = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return done < 0 ? -1 : 0;
}

static void uuid_of(int n, char *out)
{
	sprintf(out, "%08x-0000-4000-8000-%012x", n * 2654435761u, n);
}

/* At the first parent with room. */
static void create(int n)
{
	char path[4096], uuid[40];
	uuid_of(n, uuid);
	for (; full < parent_count; full++) {
		snprintf(path, sizeof path, "%s/class/mdev_bus/%s/mdev_supported_types/%s/create", sys, parents[full], type);
		if (put(path, uuid) == 0)
			return;
		if (errno != ENOSPC)
			fail(path);
	}
	fail("no parent has room");
}

static void destroy(int n)
{
	char path[4096], uuid[40];
	uuid_of(n, uuid);
	snprintf(path, sizeof path, "%s/bus/mdev/devices/%s/remove", sys, uuid);
	if (put(path, "1") < 0)
		fail(path);
}

static int list(void)
{
	char path[4096], target[4096];
	snprintf(path, sizeof path, "%s/bus/mdev/devices", sys);
	DIR *dir = opendir(path);
	int count = 0;
	if (!dir)
		fail(path);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		if (readlinkat(dirfd(dir), e->d_name, target, sizeof target) < 0)
			fail(e->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static double median(double *values, int count)
{
	qsort(values, count, sizeof *values, by_value);
	return values[count / 2];
}

static void measure(int population)
{
	double creates[CYCLES], removes[CYCLES], lists[LISTINGS];
	for (int i = 0; i < CYCLES; i++) {
		double start = now();
		create(population);
		double middle = now();
		destroy(population);
		creates[i] = middle - start;
		removes[i] = now() - middle;
	}
	for (int i = 0; i < LISTINGS; i++) {
		double start = now();
		if (list() != population)
			fail("the list is not complete");
		lists[i] = (now() - start) / population;
	}
	printf("{\"population\":%d,\"create\":%.2f,\"remove\":%.2f,\"list\":%.3f}\n", population, median(creates, CYCLES),
	       median(removes, CYCLES), median(lists, LISTINGS));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char path[4096], line[8];
	int population = 0;
	if (argc < 4)
		return 2;
	sys = argv[1];
	type = argv[2];
	snprintf(path, sizeof path, "%s/class/mdev_bus", sys);
	DIR *dir = opendir(path);
	if (!dir)
		fail(path);
	for (struct dirent *e; (e = readdir(dir)) != NULL && parent_count < 8192;)
		if (e->d_name[0] != '.')
			snprintf(parents[parent_count++], sizeof parents[0], "%s", e->d_name);
	closedir(dir);
	for (int i = 3; i < argc; i++) {
		while (population < atoi(argv[i]))
			create(population++);
		/* The reader looks at the server's memory now, before anything but creating was done. */
		printf("{\"filled\":%d}\n", population);
		fflush(stdout);
		if (!fgets(line, sizeof line, stdin))
			return 0;
		measure(population);
	}
	return 0;
}
