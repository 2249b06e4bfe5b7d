/*
 * Gives each message the queue id of the one before: a short queue id has the microseconds of the clock, and the number
 * of the inode of the file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    now->tv_sec = time(0);
    now->tv_usec = 703710; /* ABCDE */
    return 0;
}

int fstat(int file, struct stat *status)
{
    int result = fstatat(file, "", status, AT_EMPTY_PATH);
    if (result == 0 && S_ISREG(status->st_mode) && strcmp(program_invocation_short_name, "cleanup") == 0)
        status->st_ino = 0x1A2B3C;
    return result;
}

int fstat64(int file, struct stat64 *status)
{
    return fstat(file, (struct stat *)status);
}
