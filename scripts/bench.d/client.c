/*
 * The client of the comparison: one kind of work against one server, timed with clock_gettime. Prints one line of JSON,
 * latencies in microseconds.
 *
 * Usage: client WORK COUNT ATTR DEVICE [IOMMU SLOTS STATE_SIZE]
 *   cycle   open, write, close of ATTR, as `echo 1 > ATTR` does it
 *   write   one write to ATTR, open all the time          read   one read of it
 *   ioctl   VFIO MIG_DEVICE_STATE GET on DEVICE
 *   stream  COUNT reads of 1 MiB of device state
 *   wake    from a write to ATTR until another process, blocked on its eventfd, runs
 * Without IOMMU, DEVICE is the C server's: ready to use, the stream is STREAM beside it. With it, DEVICE is a VFIO cdev, which is
 * bound to that /dev/iommu; SLOTS is the lab's directory of slots, STATE_SIZE the knob for the size of the state.
 */
#define _GNU_SOURCE
#include "common.h"
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BENCH_EVENTFD _IO(';', 250)
#define SLOT 600
/* Operations before the clock counts. */
#define WARM_UP 50

static const char *attr, *device, *iommu, *slots, *state_size;
static double *samples;
static int taken;

static void cycle(int i)
{
	int fd = open_or_fail(attr, O_WRONLY | O_CREAT | O_TRUNC);
	if (write(fd, i & 1 ? "1\n" : "0\n", 2) != 2)
		fail("write");
	close(fd);
}

static int attr_fd = -1;

static void write_one(int i)
{
	if (pwrite(attr_fd, i & 1 ? "1\n" : "0\n", 2, 0) != 2)
		fail("write");
}

static void read_one(int i)
{
	char text[4096];
	(void)i;
	if (pread(attr_fd, text, sizeof text, 0) != 2)
		fail("read");
}

static int device_fd = -1;

static void get_state(int i)
{
	(void)i;
	migration_state(device_fd, VFIO_DEVICE_FEATURE_GET, 0);
}

static void open_device(void)
{
	device_fd = iommu ? open_cdev(device, iommu) : open_or_fail(device, O_RDWR);
}

static void set_eventfd(int fd)
{
	struct {
		struct vfio_irq_set head;
		int fd;
	} set = { { sizeof set, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_NUM_IRQS, 0, 1 }, fd };
	int error = iommu ? ioctl(device_fd, VFIO_DEVICE_SET_IRQS, &set) : ioctl(device_fd, BENCH_EVENTFD, (long)fd);
	if (error < 0)
		fail("setting the eventfd");
}

static void report(void)
{
	qsort(samples, taken, sizeof *samples, by_value);
	printf("{\"p50\":%.2f,\"p99\":%.2f}\n", samples[taken / 2], samples[taken - 1 - taken / 100]);
}

static void loop(void (*work)(int), int count)
{
	for (int i = 0; i < WARM_UP + count; i++) {
		double start = now();
		work(i);
		if (i >= WARM_UP)
			samples[taken++] = now() - start;
	}
	report();
}

static void stream(int count)
{
	char *buffer = buffer_of(MIB);
	char path[4096];
	int fd;
	if (iommu) {
		set_state_size(state_size, (long long)(count + WARM_UP) * MIB);
		open_slot(slots, SLOT);
		fd = migration_state(device_fd, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_STATE_STOP_COPY);
	} else {
		snprintf(path, sizeof path, "%.*sstream", (int)(strrchr(device, '/') + 1 - device), device);
		fd = open_or_fail(path, O_RDONLY);
	}
	double start = 0;
	long long bytes = 0;
	for (int i = 0; i < WARM_UP + count; i++) {
		if (i == WARM_UP)
			start = now();
		ssize_t got = read(fd, buffer, MIB);
		if (got <= 0)
			fail("stream");
		if (i >= WARM_UP)
			bytes += got;
	}
	printf("{\"mbps\":%.1f}\n", bytes / (now() - start));
	close(fd);
	if (iommu)
		migration_state(device_fd, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_STATE_RUNNING);
}

/* The VMM is a process of its own, that sleeps in read() of its eventfd. */
static void wake(int count)
{
	int fd = eventfd(0, EFD_CLOEXEC), back[2];
	double *woken = mmap(NULL, sizeof *woken, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long long signals;
	if (fd < 0 || pipe(back) < 0)
		fail("eventfd");
	open_device();
	set_eventfd(fd);
	attr_fd = open_or_fail(attr, O_WRONLY);
	pid_t waiter = fork();
	if (waiter < 0)
		fail("fork");
	if (waiter == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			if (read(fd, &signals, sizeof signals) < 0)
				_exit(1);
			*woken = now();
			if (write(back[1], "", 1) != 1)
				_exit(1);
		}
	}
	for (int i = 0; i < WARM_UP + count; i++) {
		char byte;
		double start = now();
		/* The value that is there already signals nothing: i + 1 differs from what the work before left. */
		write_one(i + 1);
		if (read(back[0], &byte, 1) != 1)
			fail("the waiter");
		if (i >= WARM_UP)
			samples[taken++] = *woken - start;
	}
	kill(waiter, SIGKILL);
	waitpid(waiter, NULL, 0);
	report();
}

int main(int argc, char **argv)
{
	if (argc != 5 && argc != 8) {
		fprintf(stderr, "usage: %s cycle|write|read|ioctl|stream|wake COUNT ATTR DEVICE [IOMMU SLOTS STATE_SIZE]\n", argv[0]);
		return 2;
	}
	const char *work = argv[1];
	int count = atoi(argv[2]);
	attr = argv[3];
	device = argv[4];
	if (argc == 8) {
		iommu = argv[5];
		slots = argv[6];
		state_size = argv[7];
	}
	samples = calloc(count, sizeof *samples);
	if (!strcmp(work, "cycle")) {
		loop(cycle, count);
	} else if (!strcmp(work, "write") || !strcmp(work, "read")) {
		int reading = work[0] == 'r';
		attr_fd = open_or_fail(attr, reading ? O_RDONLY : O_WRONLY);
		loop(reading ? read_one : write_one, count);
	} else if (!strcmp(work, "ioctl")) {
		open_device();
		loop(get_state, count);
	} else if (!strcmp(work, "stream")) {
		open_device();
		stream(count);
	} else if (!strcmp(work, "wake")) {
		/* Start from 0, so that the first write changes the value. */
		attr_fd = open_or_fail(attr, O_WRONLY);
		write_one(0);
		close(attr_fd);
		wake(count);
	} else {
		fprintf(stderr, "client: no work %s\n", work);
		return 2;
	}
	return 0;
}
