/* What the benchmark's programs share. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)
/* Bytes of a path below a lab. */
#define PATH 4096

static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

/* Microseconds, from any origin. */
static inline double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* For qsort(). */
static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static inline int open_or_fail(const char *path, int flags)
{
	int fd = open(path, flags, 0666);
	if (fd < 0)
		fail(path);
	return fd;
}

/* A VFIO cdev, bound to that /dev/iommu. */
static inline int open_cdev(const char *device, const char *iommu)
{
	int fd = open_or_fail(device, O_RDWR);
	struct vfio_device_bind_iommufd bind = { sizeof bind, 0, open_or_fail(iommu, O_RDWR), 0 };
	if (ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) < 0)
		fail("VFIO_DEVICE_BIND_IOMMUFD");
	struct vfio_device_info info = { .argsz = sizeof info };
	if (ioctl(fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		fail("VFIO_DEVICE_GET_INFO");
	return fd;
}

/* GET, or SET to a state; returns the data fd. */
static inline int migration_state(int device_fd, unsigned int op, unsigned int state)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_mig_state state;
	} f = { { sizeof f, op | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE }, { state, -1 } };
	if (ioctl(device_fd, VFIO_DEVICE_FEATURE, &f) < 0)
		fail("VFIO_DEVICE_FEATURE");
	return f.state.data_fd;
}

/* Where the lab may put a data fd of this process: descriptor `number`. */
static inline void open_slot(const char *slots, int number)
{
	char path[PATH + 32];
	snprintf(path, sizeof path, "%s/%d-b%d", slots, number, getpid());
	int slot = open_or_fail(path, O_RDWR);
	if (dup3(slot, number, 0) < 0)
		fail("dup3");
	close(slot);
}

/* Writes the knob for the size of the device state, bytes. */
static inline void set_state_size(const char *knob, long long bytes)
{
	char text[32];
	int fd = open_or_fail(knob, O_WRONLY), length = snprintf(text, sizeof text, "%lld\n", bytes);
	if (write(fd, text, length) != length)
		fail(knob);
	close(fd);
}

/* Memory that is there and near. */
static inline char *buffer_of(size_t size)
{
	char *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (buffer == MAP_FAILED)
		fail("mmap");
	return buffer;
}
