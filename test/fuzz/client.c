/*
 * The fuzz client: a process that does everything wrong to a lab, from a fixed seed.
 *
 *     client LAB SEED OPERATIONS DEVICE...
 *
 * It writes any bytes to any attribute, calls ioctls with any number and any argument address (unmapped, read-only, across the
 * end of a mapping, kernel addresses), claims lengths up to 4 GiB, reads and writes at any offset, and tries to change
 * names. It keeps out of one thing only: a number written to `remove`, since that is meant to remove.
 *
 * With 0 operations it does everything right instead: opens each DEVICE, asks for its info, resets it, closes it.
 *
 * On stdout one line of JSON: operations done, how often each errno came, calls that took longer than 3 seconds, ioctls
 * that succeeded by number. Exit
 * status 0 unless the set-up fails. Any other end (a signal) is a finding.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define PAGE 4096
#define RW_PAGES 20
#define FIRST_SLOT 512
#define SLOTS 24
#define FIRST_EVENTFD 400
#define EVENTFDS 4
#define MAX_PATHS 4096
#define MAX_HELD 16
#define ROUND 400
#define VFIO(n) _IO(';', 100 + (n))

static const char *lab;
static uint64_t rng_state;
static char *paths[MAX_PATHS], *dirs[MAX_PATHS];
static int path_count, dir_count;
static uint8_t *rw, *ro;
enum kind { CONTAINER, GROUP, DEVICE, IOMMUFD, STREAM, OTHER };
static struct { int fd; enum kind kind; } held[MAX_HELD];
static int held_count;
static unsigned long errnos[200], slow, done;
/* Ioctls that succeeded, by the command's low byte: whether the deeper code was reached at all. */
static unsigned long reached[256];
static unsigned long slot_serial;
static volatile sig_atomic_t late;

static uint64_t rnd(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 0x2545F4914F6CDD1DULL;
}

static unsigned below(unsigned limit) { return (rnd() >> 33) % limit; }

static void count(long result)
{
	done++;
	errnos[result < 0 && errno < 200 ? errno : 0]++;
	if (late) {
		slow++;
		late = 0;
	}
}

static void on_alarm(int signal) { (void)signal; late = 1; }

static void watch(int seconds)
{
	struct itimerval timer = { .it_value = { .tv_sec = seconds } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static int collect(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_F && path_count < MAX_PATHS) paths[path_count++] = strdup(path);
	if (type == FTW_D && dir_count < MAX_PATHS) dirs[dir_count++] = strdup(path);
	return 0;
}

/* A number, sometimes a plausible one. */
static uint64_t number(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 3, 7, 8, 16, 24, 32, 40, 60, 0x1000, 0xfff, 0x1001, 0xffffffffULL, 0x100000000ULL, 0xfffff000ULL,
		0x7fffffffffffffffULL, 0x8000000000000000ULL, 0xffffffffffffffffULL, 0xfffffffffffff000ULL, 1ULL << 40, 7ULL << 40,
	};
	switch (below(5)) {
	case 0: return below(64);
	case 1: return edges[below(sizeof edges / sizeof *edges)];
	case 2: return (uint64_t)(uintptr_t)(rw + PAGE * below(RW_PAGES));
	case 3: return (uint64_t)below(1 << 20) * PAGE;
	default: return rnd();
	}
}

/* Random content for a structure: a claimed size, flags, then anything. */
static void fill(uint8_t *at, size_t length)
{
	static const uint32_t sizes[] = { 0, 4, 8, 12, 15, 16, 20, 24, 32, 40, 48, 56, 64, 4096, 0x7fffffff, 0xffffffff };
	size_t i;

	for (i = 0; i + 4 <= length; i += 4) {
		uint32_t word;
		switch (below(6)) {
		case 0: word = 0; break;
		case 1: word = below(8); break;
		case 2: word = FIRST_EVENTFD + below(EVENTFDS); break;
		case 3: word = 1u << below(32); break;
		case 4: word = 0xffffffff; break;
		default: word = (uint32_t)number();
		}
		memcpy(at + i, &word, 4);
	}
	if (length >= 8 && below(8) != 0) {
		uint32_t words[2] = { sizes[below(sizeof sizes / sizeof *sizes)], (1u << below(20)) | below(16) };
		if (below(3) == 0) words[0] = 4 * below(40);
		memcpy(at, words, 8);
	}
	for (i = 8; i + 8 <= length && i < 64; i += 8) {
		uint64_t value = number();
		if (below(3) == 0) memcpy(at + i, &value, 8);
	}
}

static void put32(uint8_t *at, int word, uint32_t value) { memcpy(at + 4 * word, &value, 4); }
static void put64(uint8_t *at, int offset, uint64_t value) { memcpy(at + offset, &value, 8); }

/* Overwrites the start of the structure with what nearly is a good one, so that the deeper checks are reached too. */
static void plausible(unsigned nr, uint8_t *at)
{
	int i;

	switch (nr) {
	case 110: /* SET_IRQS */
		put32(at, 0, below(2) ? 24 : 20 + 4 * below(4));
		put32(at, 1, below(2) ? 4 | 32 : 1u << below(3) | 8u << below(3));
		put32(at, 2, below(2) ? below(2) : below(8));
		put32(at, 3, below(6) == 0 ? below(4) : 0);
		put32(at, 4, below(6) == 0 ? (uint32_t)number() : below(3) ? 1 : below(3));
		for (i = 5; i < 9; i++) put32(at, i, below(3) ? FIRST_EVENTFD + below(EVENTFDS) : 0xffffffff);
		break;
	case 113: /* MAP_DMA */
	case 114: /* UNMAP_DMA */
		put32(at, 0, nr == 113 ? 32 : 24);
		put32(at, 1, nr == 113 ? 1 + below(3) : below(10) == 0 ? 1 + below(3) : 0);
		put64(at, 8, nr == 113 && below(4) ? (uint64_t)(uintptr_t)(rw + PAGE * below(RW_PAGES)) : (uint64_t)below(64) * PAGE);
		put64(at, 16, below(8) ? (uint64_t)below(64) * PAGE : number());
		if (nr == 113) put64(at, 24, below(8) ? (uint64_t)(1 + below(16)) * PAGE : number());
		break;
	case 117: /* DEVICE_FEATURE, DIRTY_PAGES */
		put32(at, 0, 8 + 8 * below(5));
		put32(at, 1, below(5) == 0 ? 1u << below(3) : below(3) ? 2 | 2u << 16 : below(14) | (uint32_t)(1 + below(7)) << 16);
		put32(at, 2, below(10));
		put32(at, 3, 0xffffffff);
		if (below(3) == 0) {
			put64(at, 8, (uint64_t)below(64) * PAGE);
			put64(at, 16, below(4) ? (uint64_t)below(64) * PAGE : number());
			put64(at, 24, below(2) ? PAGE : number());
			put64(at, 32, (uint64_t)(uintptr_t)(rw + PAGE * below(RW_PAGES)));
		}
		break;
	case 118: /* BIND_IOMMUFD */
	case 119: /* ATTACH */
	case 120: /* DETACH */
		put32(at, 0, 8 + 4 * below(3));
		put32(at, 1, 0);
		put32(at, 2, below(4) ? below(6) : (uint32_t)held[below(held_count)].fd);
		break;
	default:
		if (nr >= 0x80 && nr < 0x90) {
			put32(at, 0, 4 * (2 + below(18)));
			for (i = 1; i < 4; i++) put32(at, i, below(2) ? below(6) : 0);
			if (nr == 0x85) put32(at, 2, 1 + below(3)), put32(at, 3, 0);
			put64(at, 16, (uint64_t)(uintptr_t)(rw + PAGE * below(RW_PAGES)));
			put64(at, 24, below(3) ? (uint64_t)below(64) * PAGE : number());
			put64(at, 32, below(3) ? (uint64_t)below(64) * PAGE : number());
			break;
		}
		put32(at, 0, 8 * below(8));
		put32(at, 1, 0);
		put32(at, 2, below(10));
	}
}

/* An argument address of each kind. */
static unsigned long argument(unsigned nr)
{
	uint8_t *end = rw + PAGE * RW_PAGES, whole[64] = { 0 };
	unsigned room;

	switch (below(16)) {
	case 0: return 0;
	case 1: return below(5000);
	case 2: return rnd() & 0x7fffffffffffULL;
	case 3: return 0xffff800000000000ULL | rnd();
	case 4: return (unsigned long)(ro + 8 * below(PAGE / 8));
	case 5: return (unsigned long)(ro + PAGE - below(64));
	case 6:
	case 7:
		room = below(2) ? 1 + below(80) : 16 * (1 + below(4));
		fill(end - 128, 128);
		if (below(2)) {
			plausible(nr, whole);
			memcpy(end - room, whole, room < sizeof whole ? room : sizeof whole);
		}
		return (unsigned long)(end - room);
	case 8:
		fill(rw, 256);
		return (unsigned long)(rw + below(16));
	default:
		fill(rw + PAGE, 256);
		if (below(3)) plausible(nr, rw + PAGE);
		return (unsigned long)(rw + PAGE);
	}
}

/* Any bytes, often near to something that means something. Returns the length. */
static size_t text(uint8_t *to, size_t limit)
{
	static const char *const words[] = {
		"0", "1", "0\n", "1\n", "y", "n\n", "on", "off", "auto", "enforce", "observe", "track", "notify", "add", "change", "remove",
		"STOP_COPY", "RUNNING", "RESUMING 1", "PRE_COPY 1 EBUSY", "-1", "0x10", "EBUSY", "vfio_mdev", "mtty", "\n", " ", "%s%n",
		"12345678-1234-1234-1234-123456789abc", "12345678-1234-1234-1234-123456789ab", "{}", "../../..", "99999999999999999999",
		"\xff\xfe", "add 12345678-1234-1234-1234-123456789abc A=1", "4294967296", "-9223372036854775808", "1 1", "=", "STOP_COPY=EIO",
	};
	size_t length, i;

	switch (below(4)) {
	case 0:
		length = below(48);
		break;
	case 1:
		length = below(8) == 0 ? 4090 + below(20) : below(300);
		if (below(64) == 0) length = limit;
		break;
	default: {
		const char *word = words[below(sizeof words / sizeof *words)];
		length = strlen(word);
		memcpy(to, word, length);
		if (length > 0 && below(4) == 0) to[below(length)] = (uint8_t)rnd();
		return length;
	}
	}
	for (i = 0; i < length; i++) to[i] = below(2) ? (uint8_t)rnd() : 32 + below(95);
	return length;
}

static int may_remove(const char *path, const uint8_t *data, size_t length)
{
	const char *name = strrchr(path, '/') + 1;
	return strcmp(name, "remove") == 0 && length > 0 && (data[0] == '+' || (data[0] >= '0' && data[0] <= '9'));
}

/* A delay of any size is what this knob is for; the fuzzer has no time for it. */
static int may_wait(const char *path) { return strstr(path, "delay") != NULL && strstr(path, "/mdevsim/") != NULL; }

static void attribute(void)
{
	static uint8_t buffer[70000];
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND, O_RDONLY | O_NONBLOCK };
	const char *path = paths[below(path_count)];
	int fd = open(path, modes[below(6)] | O_CLOEXEC);
	unsigned rounds = 1 + below(3);

	count(fd);
	if (fd < 0) return;
	while (rounds-- > 0) {
		size_t length = text(buffer, sizeof buffer);
		switch (below(6)) {
		case 0: count(read(fd, buffer, below(9000))); break;
		case 1: count(pread(fd, buffer, below(5000), (off_t)(number() >> 1))); break;
		case 2: count(lseek(fd, (off_t)number(), below(5))); break;
		case 3: {
			struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLPRI };
			count(poll(&poll_fd, 1, 0));
			break;
		}
		default:
			if (may_remove(path, buffer, length) || may_wait(path)) break;
			if (below(3) == 0) count(pwrite(fd, buffer, length, (off_t)(number() >> 1)));
			else if (below(20) == 0 && strcmp(strrchr(path, '/'), "/remove") != 0)
				count(write(fd, (void *)argument(0), 1 + below(5000)));
			else count(write(fd, buffer, length));
		}
	}
	close(fd);
}

static void names(void)
{
	char path[PATH_MAX], other[PATH_MAX];
	const char *dir = dirs[below(dir_count)];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s%u", dir, below(2) ? "x" : "..%", below(1000));
	snprintf(other, sizeof other, "%s/x", dirs[below(dir_count)]);
	switch (below(9)) {
	case 0: count(stat(path, &st)); break;
	case 1: count(mkdir(path, 0755)); break;
	case 2: count(unlink(paths[below(path_count)])); break;
	case 3: count(rmdir(dir)); break;
	case 4: count(rename(paths[below(path_count)], other)); break;
	case 5: count(symlink("x", path)); break;
	case 6: count(link(paths[below(path_count)], path)); break;
	case 7: count(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644)); break;
	default: count(truncate(paths[below(path_count)], (off_t)number())); break;
	}
}

static void refill_slots(void)
{
	char path[PATH_MAX];
	int fd;

	for (fd = FIRST_SLOT; fd < FIRST_SLOT + SLOTS; fd++) {
		int slot;
		if (fcntl(fd, F_GETFD) >= 0) continue;
		snprintf(path, sizeof path, "%s/.slots/%d-%dx%lu", lab, fd, getpid(), slot_serial++);
		slot = open(path, O_RDWR);
		if (slot < 0) continue;
		dup3(slot, fd, 0);
		close(slot);
	}
}

static void hold(int fd, enum kind kind)
{
	if (fd < 0) return;
	if (held_count == MAX_HELD) held_count--;
	held[held_count].fd = fd;
	held[held_count++].kind = kind;
}

static int open_below(const char *format, int n)
{
	char path[PATH_MAX], name[64];
	snprintf(name, sizeof name, format, n);
	snprintf(path, sizeof path, "%s/dev/%s", lab, name);
	return open(path, O_RDWR);
}

/* Closes everything and opens a good set of descriptors again: attached groups and devices, a bound cdev, bare ones. */
static void fresh_round(const char *const *devices, int device_count)
{
	uint32_t alloc[3] = { sizeof alloc };
	int i, container, iommufd;

	close_range(3, FIRST_EVENTFD - 1, 0);
	close_range(FIRST_EVENTFD + EVENTFDS, ~0u, 0);
	held_count = 0;
	refill_slots();
	for (i = 0; i < EVENTFDS; i++) {
		if (fcntl(FIRST_EVENTFD + i, F_GETFD) >= 0) continue;
		int fd = eventfd(0, EFD_NONBLOCK);
		dup3(fd, FIRST_EVENTFD + i, 0);
		close(fd);
	}
	container = open_below("vfio/vfio", 0);
	hold(container, CONTAINER);
	iommufd = open_below("iommu", 0);
	hold(iommufd, IOMMUFD);
	ioctl(iommufd, _IO(';', 0x81), alloc);
	for (i = 0; i < device_count + 1; i++) {
		uint32_t bind[4] = { sizeof bind, 0, (uint32_t)iommufd, 0 }, attach[3] = { sizeof attach, 0, alloc[2] };
		if (below(2)) {
			int group = open_below("vfio/%d", i);
			hold(group, GROUP);
			if (group < 0 || below(6) == 0) continue;
			ioctl(group, VFIO(4), below(4) ? &container : &iommufd);
			ioctl(container, VFIO(2), below(2) ? 3 : 1);
			hold(ioctl(group, VFIO(6), devices[i % device_count]), DEVICE);
		} else {
			int cdev = open_below("vfio/devices/vfio%d", i);
			hold(cdev, DEVICE);
			if (cdev >= 0 && below(6) != 0) ioctl(cdev, VFIO(18), bind);
			if (cdev >= 0 && below(2)) ioctl(cdev, VFIO(19), attach);
		}
	}
	hold(open(paths[below(path_count)], O_RDONLY), OTHER);
	hold(open(dirs[below(dir_count)], O_RDONLY | O_DIRECTORY), OTHER);
}

/* A number that the kind of file knows, mostly. */
static unsigned long command_for(enum kind kind)
{
	static const uint8_t container[] = { 100, 101, 102, 112, 113, 113, 114, 117 }, group[] = { 103, 104, 105, 106 },
		device[] = { 107, 108, 109, 110, 110, 111, 117, 117, 117, 118, 119, 120 };

	switch (below(10)) {
	case 0: return (uint32_t)rnd();
	case 1: return VFIO(below(24));
	case 2: return _IO(';', 0x80 + below(24));
	}
	switch (kind) {
	case CONTAINER: return _IO(';', container[below(sizeof container)]);
	case GROUP: return _IO(';', group[below(sizeof group)]);
	case DEVICE: return _IO(';', device[below(sizeof device)]);
	case IOMMUFD: return _IO(';', below(4) ? 0x80 + below(16) : container[below(sizeof container)]);
	case STREAM: return VFIO(21);
	default: return (rnd() & 0xffffff00) | (100 + below(40));
	}
}

/* The descriptor that a SET of the migration state left in the structure. */
static void hold_stream(const uint8_t *at)
{
	uint32_t words[4];

	if (at < rw || at + sizeof words > rw + PAGE * RW_PAGES) return;
	memcpy(words, at, sizeof words);
	if ((words[1] & 0xffff) == 2 && words[3] >= FIRST_SLOT && words[3] < FIRST_SLOT + SLOTS) hold((int)words[3], STREAM);
}

static void device_file(void)
{
	static uint8_t buffer[1 << 16];
	int chosen = below(held_count), fd = held[chosen].fd, result;
	unsigned long command, address;

	switch (below(12)) {
	case 0: count(pread(fd, buffer, below(5000), (off_t)((number() & 15) << 40 | below(300)))); return;
	case 1: count(pwrite(fd, buffer, below(64), (off_t)((number() & 15) << 40 | below(300)))); return;
	case 2: count(read(fd, buffer, below(sizeof buffer))); return;
	case 3: count(write(fd, buffer, below(200))); return;
	case 4: {
		void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)below(10) << 40);
		count(map == MAP_FAILED ? -1 : 0);
		if (map != MAP_FAILED) munmap(map, PAGE);
		return;
	}
	}
	command = command_for(held[chosen].kind);
	address = argument(command & 0xff);
	result = ioctl(fd, command, address);
	count(result);
	if (result < 0) return;
	reached[command & 0xff]++;
	if ((command & 0xff) == 117) hold_stream((const uint8_t *)address);
	if ((command & 0xff) == 106 && result >= FIRST_SLOT) hold(result, DEVICE);
}

/* What a good client does; says what fails. */
static int check_devices(const char *const *devices, int device_count)
{
	int opened = 0, n, i;

	refill_slots();
	for (n = 0; n < 64 && opened < device_count; n++) {
		int container, group = open_below("vfio/%d", n);
		if (group < 0) continue;
		container = open_below("vfio/vfio", 0);
		if (ioctl(group, VFIO(4), &container) < 0) return perror("GROUP_SET_CONTAINER"), 1;
		if (ioctl(container, VFIO(2), 1) < 0) return perror("SET_IOMMU"), 1;
		for (i = 0; i < device_count; i++) {
			uint32_t info[6] = { sizeof info };
			int device = ioctl(group, VFIO(6), devices[i]);
			if (device < 0 && errno == ENODEV) continue;
			if (device < 0) return perror("GROUP_GET_DEVICE_FD"), 1;
			if (ioctl(device, VFIO(7), info) < 0 || info[2] == 0) return perror("DEVICE_GET_INFO"), 1;
			if (ioctl(device, VFIO(11), 0) < 0) return perror("DEVICE_RESET"), 1;
			close(device);
			opened++;
		}
		close(group);
		close(container);
	}
	if (opened < device_count) return fprintf(stderr, "%d of %d devices could be opened\n", opened, device_count), 1;
	printf("{\"opened\":%d}\n", opened);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction alarm_action = { .sa_handler = on_alarm };
	const char *devices[8];
	char path[PATH_MAX], *end;
	unsigned long operations;
	int i, device_count = 0;

	if (argc < 5) return fprintf(stderr, "usage: client LAB SEED OPERATIONS DEVICE...\n"), 2;
	lab = argv[1];
	rng_state = strtoull(argv[2], &end, 0) * 2 + 1;
	operations = strtoul(argv[3], &end, 0);
	for (i = 4; i < argc && device_count < 8; i++) devices[device_count++] = argv[i];
	for (i = 0; i < 20; i++) rnd();
	sigaction(SIGALRM, &alarm_action, NULL);
	signal(SIGPIPE, SIG_IGN);

	if (operations == 0) return check_devices(devices, device_count);

	rw = mmap(NULL, PAGE * (RW_PAGES + 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ro = mmap(NULL, PAGE * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rw == MAP_FAILED || ro == MAP_FAILED) return perror("mmap"), 1;
	fill(ro, PAGE);
	mprotect(rw + PAGE * RW_PAGES, PAGE, PROT_NONE);
	mprotect(ro, PAGE, PROT_READ);
	mprotect(ro + PAGE, PAGE, PROT_NONE);

	snprintf(path, sizeof path, "%s/sys", lab);
	nftw(path, collect, 16, FTW_PHYS);
	if (path_count == 0) return fprintf(stderr, "no files below %s\n", path), 1;

	while (done < operations) {
		unsigned long until = done + ROUND;
		fresh_round(devices, device_count);
		if (held_count == 0) return fprintf(stderr, "nothing can be opened\n"), 1;
		while (done < until && done < operations) {
			watch(3);
			switch (below(10)) {
			case 0:
			case 1: attribute(); break;
			case 2: names(); break;
			default: device_file(); break;
			}
		}
		watch(0);
	}
	close_range(3, ~0u, 0);
	printf("{\"operations\":%lu,\"slow\":%lu,\"errnos\":{", done, slow);
	for (i = 0, end = ""; i < 200; i++) {
		if (errnos[i] == 0) continue;
		printf("%s\"%s\":%lu", end, i == 0 ? "0" : strerrorname_np(i), errnos[i]);
		end = ",";
	}
	printf("},\"reached\":{");
	for (i = 0, end = ""; i < 256; i++) {
		if (reached[i] == 0) continue;
		printf("%s\"%d\":%lu", end, i, reached[i]);
		end = ",";
	}
	printf("}}\n");
	return 0;
}
