/*
 * Device state, and what it takes to move it from one process to another: each part by itself, and then all of them at once with
 * nothing in between. Prints one line of JSON, MB/s.
 *
 * Usage: state WORK COUNT LAB UUID, for COUNT MiB. LAB has two mtty mdevs, vfio0 and vfio1; UUID is the first one's.
 *   read    from the data fd of a device in STOP_COPY
 *   write   to that of a device in RESUMING
 *   both    one process reads from vfio0, as in read, while another one writes to vfio1, as in write
 *   socket  through a UNIX socket, from one process to another
 *   relay   two processes, as two VMMs: one reads from vfio0 and writes to a UNIX socket, one reads from there and writes to vfio1
 *   shared  the same through memory that both have: the bytes are where the lab puts them and where it takes them from
 *   checked as shared, with a checksum at either end and no lab: LAB is the directory of the C server (server.c), whose files
 *           `stream` and `sink` take its place
 * All in pieces of up to 1 MiB.
 */
#define _GNU_SOURCE
#include "common.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Descriptor numbers for data fds. */
#define SLOT 600

static const char *lab, *uuid;

/* A device of the lab in that state. `data_fd` gets its data fd. */
static int open_in_state(int number, unsigned int state, int *data_fd)
{
	char device[PATH], iommu[PATH], slots[PATH];
	snprintf(device, sizeof device, "%s/dev/vfio/devices/vfio%d", lab, number);
	snprintf(iommu, sizeof iommu, "%s/dev/iommu", lab);
	snprintf(slots, sizeof slots, "%s/.slots", lab);
	int fd = open_cdev(device, iommu);
	/* Whoever had it before may have left it in any state. */
	if (ioctl(fd, VFIO_DEVICE_RESET) < 0)
		fail("VFIO_DEVICE_RESET");
	open_slot(slots, SLOT + number);
	*data_fd = migration_state(fd, VFIO_DEVICE_FEATURE_SET, state);
	return fd;
}

static int open_source(int count, int *data_fd)
{
	char knob[PATH];
	snprintf(knob, sizeof knob, "%s/sys/kernel/debug/mdevsim/%s/state_size", lab, uuid);
	set_state_size(knob, (long long)count * MIB);
	return open_in_state(0, VFIO_DEVICE_STATE_STOP_COPY, data_fd);
}

static size_t read_some(int fd, char *buffer)
{
	ssize_t got = read(fd, buffer, MIB);
	if (got < 0)
		fail("read");
	return got;
}

static void write_all(int fd, const char *buffer, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, buffer, size);
		if (done <= 0)
			fail("write");
		buffer += done;
		size -= done;
	}
}

static void report(long long bytes, double start)
{
	printf("{\"mbps\":%.1f}\n", bytes / (now() - start));
	fflush(stdout);
}

static void read_state(int count)
{
	int data_fd, device = open_source(count, &data_fd);
	char *buffer = buffer_of(MIB);
	long long bytes = 0;
	double start = now();
	for (size_t got; (got = read_some(data_fd, buffer)) > 0;)
		bytes += got;
	report(bytes, start);
	close(device);
}

/* What a device in RESUMING takes: what another one gives, whose content comes round in less than 1 MiB. */
static char *head, *content;
static size_t head_size, period;

static void learn_content(int count)
{
	int data_fd, device = open_source(count, &data_fd);
	head = buffer_of(MIB);
	content = buffer_of(2 * MIB);
	head_size = read_some(data_fd, head);
	for (size_t at = 0, got; at < 2 * MIB; at += got)
		if ((got = read_some(data_fd, content + at)) == 0)
			fail("too little state");
	for (period = MIB; period > 0 && memcmp(content, content + period, 2 * MIB - period) != 0; period -= 4096)
		;
	if (period == 0)
		fail("no period");
	close(data_fd);
	close(device);
}

static void write_content(int data_fd, long long bytes)
{
	for (long long at = 0; at < bytes; at += MIB)
		write_all(data_fd, content + at % period, MIB);
}

static void write_state(int count)
{
	int data_fd;
	learn_content(count + 1);
	int device = open_in_state(1, VFIO_DEVICE_STATE_RESUMING, &data_fd);
	write_all(data_fd, head, head_size);
	double start = now();
	write_content(data_fd, (long long)count * MIB);
	report((long long)count * MIB, start);
	close(device);
}

static pid_t fork_or_fail(void)
{
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child;
}

/* Reads from one device and writes to another at the same time: all that the lab can do, with nobody in between. */
static void both(int count)
{
	int data_fd, status, ready[2];
	char word = 0, *buffer = buffer_of(MIB);
	learn_content(count + 1);
	if (pipe(ready) < 0)
		fail("pipe");
	pid_t child = fork_or_fail();
	if (child == 0) {
		open_in_state(1, VFIO_DEVICE_STATE_RESUMING, &data_fd);
		write_all(data_fd, head, head_size);
		write_all(ready[1], &word, 1);
		write_content(data_fd, (long long)count * MIB);
		_exit(0);
	}
	int device = open_source(count, &data_fd);
	if (read(ready[0], &word, 1) != 1)
		fail("the writer");
	long long bytes = 0;
	double start = now();
	for (size_t got; (got = read_some(data_fd, buffer)) > 0;)
		bytes += got;
	if (waitpid(child, &status, 0) < 0 || status != 0)
		fail("the writer");
	report(bytes, start);
	close(device);
}

/* How bytes get from one process to the other. */
struct way {
	/* Where they come from and go to. */
	enum { NOWHERE, LAB, SERVER } ends;
	/* BUFFERS pieces that both have, used in turn; NULL: through the socket. The socket brings their sizes, and takes them back. */
	char *buffers;
	/* Both make a checksum of each of these. */
	int checksums;
};

/* Of a piece in memory that both have. */
struct note {
	unsigned size;
	unsigned long long checksum;
};
#define BUFFERS 4

/* The n-th piece that goes that way. */
static char *piece(const struct way *way, char *own, unsigned n)
{
	return way->buffers ? way->buffers + (size_t)(n % BUFFERS) * MIB : own;
}

static void read_all(int fd, void *data, size_t size)
{
	for (size_t done = 0, got; done < size; done += got)
		if ((got = read(fd, (char *)data + done, size - done)) == 0 || got == (size_t)-1)
			fail("the other process");
}

/* Lanes of a checksum. */
typedef unsigned long long lanes __attribute__((vector_size(16)));

/*
 * Two sums over 64-bit words, one of the words and one of the sums: little more than reading the memory, and less than any checksum that
 * is in use. `data` and `size` are multiples of a cache line.
 */
static unsigned long long checksum_of(const char *data, size_t size)
{
	lanes a[4] = { 0 }, b[4] = { 0 };
	const lanes *at = (const lanes *)data, *end = (const lanes *)(data + size);
	for (; at < end; at += 4) {
		b[0] += a[0] += at[0];
		b[1] += a[1] += at[1];
		b[2] += a[2] += at[2];
		b[3] += a[3] += at[3];
	}
	lanes all = (a[0] ^ b[1]) + (a[1] ^ b[2]) + (a[2] ^ b[3]) + (a[3] ^ b[0]);
	return all[0] ^ all[1];
}

static int open_server_file(const char *name, int flags)
{
	char path[PATH];
	snprintf(path, sizeof path, "%s/%s", lab, name);
	return open_or_fail(path, flags);
}

/* Everything, into a device in RESUMING, the server's sink or nowhere; says so before and after. */
static void receive(const struct way *way, int end)
{
	char *own = buffer_of(MIB), word = 0;
	int data_fd = -1, device = -1;
	if (way->ends == LAB)
		device = open_in_state(1, VFIO_DEVICE_STATE_RESUMING, &data_fd);
	else if (way->ends == SERVER)
		data_fd = open_server_file("sink", O_WRONLY);
	write_all(end, &word, 1);
	for (unsigned n = 0;; n++) {
		char *buffer = piece(way, own, n);
		struct note note;
		if (way->buffers)
			read_all(end, &note, sizeof note);
		size_t got = way->buffers ? note.size : read_some(end, buffer);
		if (got == 0)
			break;
		if (way->checksums && checksum_of(buffer, got) != note.checksum)
			fail("checksum");
		if (way->ends != NOWHERE)
			write_all(data_fd, buffer, got);
		if (way->buffers)
			write_all(end, &word, 1);
	}
	/* Complete, or this fails. */
	if (way->ends == LAB)
		migration_state(device, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_STATE_STOP);
	write_all(end, &word, 1);
}

static void pass(int count, const struct way *way)
{
	int pair[2], status, data_fd = -1, device = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		fail("socketpair");
	pid_t child = fork_or_fail();
	int end = pair[child == 0];
	close(pair[child != 0]);
	if (child == 0) {
		receive(way, end);
		_exit(0);
	}
	char *own = buffer_of(MIB), word;
	if (way->ends == LAB)
		device = open_source(count, &data_fd);
	else if (way->ends == SERVER)
		data_fd = open_server_file("stream", O_RDONLY);
	read_all(end, &word, 1);
	long long bytes = 0;
	double start = now();
	size_t size = MIB;
	for (unsigned n = 0; size > 0; n++, bytes += size) {
		char *buffer = piece(way, own, n);
		if (way->buffers && n >= BUFFERS)
			read_all(end, &word, 1);
		/* Only a device's state has an end of its own. */
		if (way->ends != LAB && bytes >= (long long)count * MIB)
			size = 0;
		else if (way->ends != NOWHERE)
			size = read_some(data_fd, buffer);
		struct note note = { size, way->checksums ? checksum_of(buffer, size) : 0 };
		if (way->buffers)
			write_all(end, (char *)&note, sizeof note);
		else
			write_all(end, buffer, size);
	}
	shutdown(end, SHUT_WR);
	/* What was not taken back yet, and the end. */
	while (read(end, &word, 1) == 1)
		;
	report(bytes, start);
	if (waitpid(child, &status, 0) < 0 || status != 0)
		fail("the receiver");
	close(device);
}

static char *shared_buffers(void)
{
	char *buffers = mmap(NULL, BUFFERS * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (buffers == MAP_FAILED)
		fail("mmap");
	return buffers;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 0;
	if (argc != 5 || count < 3) {
		fprintf(stderr, "usage: %s read|write|both|socket|relay|shared|checked COUNT LAB UUID\n", argv[0]);
		return 2;
	}
	lab = argv[3];
	uuid = argv[4];
	if (!strcmp(argv[1], "read")) {
		read_state(count);
	} else if (!strcmp(argv[1], "write")) {
		write_state(count);
	} else if (!strcmp(argv[1], "both")) {
		both(count);
	} else if (!strcmp(argv[1], "socket")) {
		pass(count, &(struct way){ .ends = NOWHERE });
	} else if (!strcmp(argv[1], "relay")) {
		pass(count, &(struct way){ .ends = LAB });
	} else if (!strcmp(argv[1], "shared")) {
		pass(count, &(struct way){ .ends = LAB, .buffers = shared_buffers() });
	} else if (!strcmp(argv[1], "checked")) {
		pass(count, &(struct way){ .ends = SERVER, .buffers = shared_buffers(), .checksums = 1 });
	} else {
		fprintf(stderr, "state: no work %s\n", argv[1]);
		return 2;
	}
	return 0;
}
