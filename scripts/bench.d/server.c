/*
 * The C side of the comparison: a minimal server on libfuse 3's low-level API, of one thread unless told otherwise, with the files
 * that the benchmark needs. Same open flags as mdevsim: direct_io, noflush.
 *
 *   attr    an attribute with a value of 0 or 1; a change is written to the eventfd
 *   device  ioctl: VFIO_DEVICE_FEATURE with MIG_DEVICE_STATE GET through the caller's memory, and BENCH_EVENTFD
 *   stream  bytes without end, in reads of up to 1 MiB
 *   sink    takes what the stream gives, and compares it: EINVAL for anything else
 *
 * Usage: server DIR [THREADS]. Prints "ready" when the kernel has said hello.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Takes an eventfd of the caller: the argument is its number there. */
#define BENCH_EVENTFD _IO(';', 250)
#define LONG_TIME 3600.0
#define STREAM_CHUNK (1 << 20)

enum { ROOT = FUSE_ROOT_ID, ATTR, DEVICE, STREAM, SINK, END };
static const char *const names[END] = { [ATTR] = "attr", [DEVICE] = "device", [STREAM] = "stream", [SINK] = "sink" };
static char value = '0';
static int eventfd_copy = -1;
static char chunk[STREAM_CHUNK];

static int fill(fuse_ino_t ino, struct stat *st)
{
	if (ino < ROOT || ino >= END)
		return -1;
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_nlink = ino == ROOT ? 2 : 1;
	st->st_mode = ino == ROOT ? S_IFDIR | 0755 : S_IFREG | 0644;
	st->st_size = ino == ATTR ? 4096 : 0;
	return 0;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = LONG_TIME, .entry_timeout = LONG_TIME };
	for (fuse_ino_t ino = ATTR; parent == ROOT && ino < END; ino++)
		if (strcmp(name, names[ino]) == 0) {
			e.ino = ino;
			fill(ino, &e.attr);
			fuse_reply_entry(req, &e);
			return;
		}
	fuse_reply_err(req, ENOENT);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	(void)fi;
	if (fill(ino, &st) < 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, LONG_TIME);
}

static void setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	(void)attr;
	(void)to_set;
	getattr(req, ino, fi);
}

static void open_file(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	if (ino == STREAM) {
		fuse_reply_buf(req, chunk, size < sizeof chunk ? size : sizeof chunk);
		return;
	}
	char text[2] = { value, '\n' };
	if (ino != ATTR || off >= 2)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text + off, 2 - off < (off_t)size ? 2 - off : (off_t)size);
}

static void write_file(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)off;
	(void)fi;
	if (ino == SINK) {
		if (size > sizeof chunk || memcmp(data, chunk, size) != 0)
			fuse_reply_err(req, EINVAL);
		else
			fuse_reply_write(req, size);
		return;
	}
	if (ino != ATTR || size == 0 || (data[0] != '0' && data[0] != '1')) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (data[0] != value) {
		unsigned long long one = 1;
		value = data[0];
		if (eventfd_copy >= 0 && write(eventfd_copy, &one, sizeof one) < 0)
			perror("eventfd");
	}
	fuse_reply_write(req, size);
}

static int feature(pid_t pid, void *arg)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_mig_state state;
	} f;
	struct iovec local = { &f, sizeof f }, remote = { arg, sizeof f };
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof f)
		return EFAULT;
	if (f.head.argsz < sizeof f)
		return EINVAL;
	if (f.head.flags != (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE))
		return ENOTTY;
	f.state.device_state = VFIO_DEVICE_STATE_RUNNING;
	f.state.data_fd = -1;
	local = (struct iovec){ &f.state, sizeof f.state };
	remote = (struct iovec){ (char *)arg + sizeof f.head, sizeof f.state };
	return process_vm_writev(pid, &local, 1, &remote, 1, 0) == sizeof f.state ? 0 : EFAULT;
}

static int take_eventfd(pid_t pid, int fd)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return errno;
	int copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	close(pidfd);
	if (copy < 0)
		return errno;
	if (eventfd_copy >= 0)
		close(eventfd_copy);
	eventfd_copy = copy;
	return 0;
}

static void ioctl_file(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags,
		       const void *in, size_t in_size, size_t out_size)
{
	pid_t pid = fuse_req_ctx(req)->pid;
	int error = ENOTTY;
	(void)fi, (void)flags, (void)in, (void)in_size, (void)out_size;
	if (ino == DEVICE && cmd == VFIO_DEVICE_FEATURE)
		error = feature(pid, arg);
	else if (ino == DEVICE && cmd == BENCH_EVENTFD)
		error = take_eventfd(pid, (int)(size_t)arg);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

static void init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	if (conn->capable & FUSE_CAP_ATOMIC_O_TRUNC)
		conn->want |= FUSE_CAP_ATOMIC_O_TRUNC;
	puts("ready");
	fflush(stdout);
}

static const struct fuse_lowlevel_ops ops = {
	.init = init, .lookup = lookup, .getattr = getattr, .setattr = setattr, .open = open_file, .read = read_file,
	.write = write_file, .ioctl = ioctl_file,
};

static void serve(struct fuse_session *se, int threads)
{
	if (threads == 1) {
		fuse_session_loop(se);
		return;
	}
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	fuse_loop_cfg_set_max_threads(config, threads);
	fuse_loop_cfg_set_idle_threads(config, threads);
	fuse_session_loop_mt(se, config);
	fuse_loop_cfg_destroy(config);
}

int main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[2]) : 1;
	if (argc < 2 || argc > 3 || threads < 1) {
		fprintf(stderr, "usage: %s DIR [THREADS]\n", argv[0]);
		return 2;
	}
	memset(chunk, 0x5a, sizeof chunk);
	char *options[] = { argv[0], "-odefault_permissions,fsname=mdevsim-bench" };
	struct fuse_args args = FUSE_ARGS_INIT(2, options);
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, NULL);
	if (!se || fuse_set_signal_handlers(se) || fuse_session_mount(se, argv[1]))
		return 1;
	serve(se, threads);
	fuse_session_unmount(se);
	fuse_remove_signal_handlers(se);
	fuse_session_destroy(se);
	return 0;
}
