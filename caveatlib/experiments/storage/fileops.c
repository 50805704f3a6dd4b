/* fileops first FILE | files FOLDER COUNT | write FILE BYTES | read FILE BYTES
   What a storage driver may slow down, each step timed by itself: a line "name seconds" for each.
   What fails is told and ends it with status 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STEP = 1 << 20 };
static char buffer[STEP];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void tell(const char *name, double since) { printf("%s %.9f\n", name, now() - since); }

static int need(const char *what, int result) {
    if (result >= 0) return result;
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Write one byte into a file that is there already. */
static void first(const char *path) {
    double since = now();
    int file = need("open", open(path, O_RDWR));
    tell("open_s", since);
    since = now();
    need("write", pwrite(file, "x", 1, 0));
    tell("write_s", since);
    since = now();
    need("fsync", fsync(file));
    tell("fsync_s", since);
}

/* Make empty files in a new folder, ask for each, remove each; the folder is synced in between. */
static void files(const char *path, long count) {
    char name[32];
    struct stat found;
    need("mkdir", mkdir(path, 0755));
    int folder = need("open", open(path, O_RDONLY | O_DIRECTORY));
    double since = now();
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%ld", i);
        int file = need("create", openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0644));
        need("close", close(file));
    }
    need("fsync", fsync(folder));
    tell("create_files_s", since);
    since = now();
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%ld", i);
        need("stat", fstatat(folder, name, &found, 0));
    }
    tell("stat_files_s", since);
    since = now();
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%ld", i);
        need("unlink", unlinkat(folder, name, 0));
    }
    need("fsync", fsync(folder));
    tell("unlink_files_s", since);
}

/* Write a new file from its beginning to its end. */
static void write_all(const char *path, long bytes) {
    uint64_t word = 88172645463325252u; /* xorshift64: nothing that could be compressed */
    for (size_t i = 0; i + sizeof word <= STEP; i += sizeof word) {
        word ^= word << 13, word ^= word >> 7, word ^= word << 17;
        memcpy(buffer + i, &word, sizeof word);
    }
    double since = now();
    int file = need("create", open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));
    for (long left = bytes; left > 0;)
        left -= need("write", write(file, buffer, left < STEP ? left : STEP));
    double written = now();
    need("fsync", fsync(file));
    tell("flush_s", written);
    tell("write_s", since);
}

/* Read a file from its beginning to its end. */
static void read_all(const char *path, long bytes) {
    double since = now();
    int file = need("open", open(path, O_RDONLY)), got;
    while ((got = need("read", read(file, buffer, STEP))) > 0) bytes -= got;
    tell("read_s", since);
    if (!bytes) return;
    printf("read: %ld bytes are missing\n", bytes);
    exit(1);
}

int main(int count, char **arguments) {
    const char *what = count > 2 ? arguments[1] : "", *path = count > 2 ? arguments[2] : "";
    long number = count > 3 ? atol(arguments[3]) : 0;
    if (!strcmp(what, "first")) first(path);
    else if (!strcmp(what, "files") && number > 0) files(path, number);
    else if (!strcmp(what, "write") && number > 0) write_all(path, number);
    else if (!strcmp(what, "read") && number > 0) read_all(path, number);
    else return 2;
    return 0;
}
