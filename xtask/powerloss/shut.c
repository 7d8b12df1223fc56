/* Shuts a file system down as a loss of power would: shut MOUNTPOINT. Unwritten data is dropped. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define FS_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_FLUSHING_THE_LOG 2

int main(int argc, char **argv)
{
	uint32_t flags = WITHOUT_FLUSHING_THE_LOG;
	int dir = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	if (dir < 0 || ioctl(dir, FS_IOC_SHUTDOWN, &flags)) {
		perror("shut");
		return 1;
	}
	return 0;
}
