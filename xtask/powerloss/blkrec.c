/*
 * A block device with a volatile write cache, which records all that is written to it.
 *
 *   blkrec SIZE_MIB RECORD MOUNTPOINT
 *
 * Serves two files by FUSE: `disk`, to be put under a loop device, and `ctl`, which takes commands:
 *   mark N      notes N in the record
 *   eiof 1      lets every flush fail, and `eiof 0` no more
 *   eiow OFF LEN, eior OFF LEN   let writes to, or reads from, a range fail
 *   clear       lets nothing fail
 *
 * The record is a sequence of { u64 number, operation, offset, length } in the machine's byte order,
 * each write (operation 1) followed by what was written; 2 is a flush, 3 a mark (its number stands in
 * `offset`). After a loss of power the device holds everything up to the last flush, and any part of
 * what came after it.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fuse3/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct record { uint64_t number, operation, offset, length; };
struct range { size_t from, to; };

static uint8_t *image;
static size_t size;
static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t records;
static struct range bad_writes, bad_reads;
static int bad_flush;

static void put(uint64_t operation, uint64_t offset, uint64_t length, const void *data)
{
	struct record record = { records++, operation, offset, length };
	fwrite(&record, sizeof record, 1, out);
	if (data)
		fwrite(data, length, 1, out);
}

static int hits(struct range bad, size_t offset, size_t length)
{
	return bad.to > bad.from && offset < bad.to && offset + length > bad.from;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	if (!strcmp(path, "/")) {
		st->st_mode = S_IFDIR | 0755;
	} else if (!strcmp(path, "/disk")) {
		st->st_mode = S_IFREG | 0600;
		st->st_size = size;
	} else if (!strcmp(path, "/ctl")) {
		st->st_mode = S_IFREG | 0600;
	} else {
		return -ENOENT;
	}
	return 0;
}

static int on_readdir(const char *path, void *to, fuse_fill_dir_t fill, off_t offset,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	fill(to, "disk", 0, 0, 0);
	fill(to, "ctl", 0, 0, 0);
	return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	return 0;
}

static int on_truncate(const char *path, off_t length, struct fuse_file_info *fi)
{
	return 0;
}

static int on_read(const char *path, char *to, size_t length, off_t offset,
		   struct fuse_file_info *fi)
{
	if (strcmp(path, "/disk") || (size_t)offset >= size)
		return 0;
	if (offset + length > size)
		length = size - offset;
	if (hits(bad_reads, offset, length))
		return -EIO;
	pthread_mutex_lock(&lock);
	memcpy(to, image + offset, length);
	pthread_mutex_unlock(&lock);
	return length;
}

static void command(const char *text)
{
	uint64_t a = 0, b = 0;
	if (sscanf(text, "mark %lu", &a) == 1)
		put(3, a, 0, 0);
	else if (sscanf(text, "eiow %lu %lu", &a, &b) == 2)
		bad_writes = (struct range){ a, a + b };
	else if (sscanf(text, "eior %lu %lu", &a, &b) == 2)
		bad_reads = (struct range){ a, a + b };
	else if (sscanf(text, "eiof %lu", &a) == 1)
		bad_flush = a;
	else if (!strncmp(text, "clear", 5))
		bad_writes = bad_reads = (struct range){ 0, 0 }, bad_flush = 0;
	fflush(out);
}

static int on_write(const char *path, const char *from, size_t length, off_t offset,
		    struct fuse_file_info *fi)
{
	int result = length;
	pthread_mutex_lock(&lock);
	if (!strcmp(path, "/ctl")) {
		char text[128] = { 0 };
		memcpy(text, from, length < 127 ? length : 127);
		command(text);
	} else if ((size_t)offset + length > size) {
		result = -ENOSPC;
	} else if (hits(bad_writes, offset, length)) {
		result = -EIO;
	} else {
		memcpy(image + offset, from, length);
		put(1, offset, length, from);
	}
	pthread_mutex_unlock(&lock);
	return result;
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	pthread_mutex_lock(&lock);
	int failed = bad_flush;
	if (!failed)
		put(2, 0, 0, 0);
	fflush(out);
	pthread_mutex_unlock(&lock);
	return failed ? -EIO : 0;
}

static int on_fallocate(const char *path, int mode, off_t offset, off_t length,
			struct fuse_file_info *fi)
{
	return -EOPNOTSUPP;
}

static const struct fuse_operations operations = {
	.getattr = on_getattr, .readdir = on_readdir, .open = on_open, .read = on_read,
	.write = on_write, .fsync = on_fsync, .truncate = on_truncate, .fallocate = on_fallocate,
};

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: blkrec SIZE_MIB RECORD MOUNTPOINT\n");
		return 2;
	}
	size = (size_t)atol(argv[1]) << 20;
	image = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	out = fopen(argv[2], "w");
	if (image == MAP_FAILED || !out) {
		perror("blkrec");
		return 1;
	}
	setvbuf(out, 0, _IOFBF, 1 << 20);
	char *arguments[] = { argv[0], "-s", argv[3] };
	return fuse_main(3, arguments, &operations, 0);
}
