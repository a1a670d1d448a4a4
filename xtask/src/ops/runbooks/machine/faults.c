/* Faults of a disk, for the program that this library is loaded into (LD_PRELOAD): what no command can bring about on a healthy one.
 *
 * A file in the folder that $FAULTS names is a fault, as long as it is there:
 *
 *   wal-sync-error      every sync of a file of the journal fails with EIO; if the file says `once`, only the next one
 *   wal-sync-delay-ms   every sync of a file of the journal takes so many milliseconds longer
 *
 * Commits past the page cache are one call that cannot be caught here, so opening a file that way is refused, as some file systems
 * do; then the program writes and syncs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Reads a fault; -1 if it is not there. System calls, because `open` is ours. */
static ssize_t fault(const char *name, char *text, size_t size) {
    char path[512];
    const char *folder = getenv("FAULTS");
    if (folder == NULL) return -1;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return -1;
    ssize_t length = read(file, text, size - 1);
    close(file);
    if (length < 0) length = 0;
    text[length] = 0;
    return length;
}

static int is_of_the_journal(int file) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/stemedb/wal") != NULL;
}

/* What a sync of this file meets: 0, or -1 with errno. */
static int meet(int file) {
    char text[64];
    int saved = errno;
    if (!is_of_the_journal(file)) return 0;
    if (fault("wal-sync-delay-ms", text, sizeof text) >= 0) {
        long ms = atol(text);
        struct timespec time = {ms / 1000, (ms % 1000) * 1000000};
        while (nanosleep(&time, &time) != 0 && errno == EINTR) {}
    }
    if (fault("wal-sync-error", text, sizeof text) >= 0) {
        if (strncmp(text, "once", 4) == 0) {
            char path[512];
            snprintf(path, sizeof path, "%s/wal-sync-error", getenv("FAULTS"));
            unlink(path);
        }
        errno = EIO;
        return -1;
    }
    errno = saved;
    return 0;
}

int fdatasync(int file) {
    static int (*real)(int);
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return meet(file) != 0 ? -1 : real(file);
}

int fsync(int file) {
    static int (*real)(int);
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return meet(file) != 0 ? -1 : real(file);
}

static int open_unless_direct(const char *path, int flags, mode_t mode) {
    if ((flags & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

static mode_t mode_of(int flags, va_list rest) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_unless_direct(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_unless_direct(path, flags, mode);
}
