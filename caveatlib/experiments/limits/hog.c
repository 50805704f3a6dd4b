/* hog fork MOST | memory BYTES | compute PROCESSES | write FILE SECONDS: a bad neighbour.
   Ends by itself after a minute; children end with it. To be run below a cap, or in a guest. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { LIFE_S = 60, RETRY_US = 10000, PAUSE_US = 200000, STEP = 4 << 20, BLOCK = 1 << 20, BLOCKS = 64 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static pid_t child(void) {
    pid_t made = fork();
    if (!made) { prctl(PR_SET_PDEATHSIG, SIGKILL); alarm(LIFE_S); }
    return made;
}

/* Children only exist. It goes on trying, so that whatever is freed is taken. */
static void take_tasks(long most) {
    long tasks = 1;
    for (int told = 0; tasks < most;) {
        pid_t made = child();
        if (!made) for (;;) pause();
        if (made > 0) { tasks++; continue; }
        if (!told++) printf("refused %.6f %ld\n", now(), tasks);
        usleep(RETRY_US);
    }
}

static void take_memory(long most) {
    for (long taken = 0; taken < most; taken += STEP) {
        char *piece = malloc(STEP);
        if (!piece) { printf("refused %.6f %ld\n", now(), taken); return; }
        memset(piece, 1, STEP);
        printf("took %ld\n", taken + STEP);
    }
}

static void compute(long processes) {
    while (--processes > 0 && child()) {}
    for (;;) {}
}

/* Past the page cache, whose writing back no group limits on version 1. */
static void write_blocks(const char *path, double seconds) {
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_DIRECT, 0600);
    void *block = aligned_alloc(4096, BLOCK);
    double begun = now();
    long blocks = 0;
    memset(block, 1, BLOCK);
    while (file >= 0 && now() - begun < seconds) {
        if (pwrite(file, block, BLOCK, blocks % BLOCKS * BLOCK) != BLOCK) break;
        blocks++;
    }
    printf("wrote %.6f %ld\n", now() - begun, blocks * BLOCK);
}

int main(int count, char **arguments) {
    const char *kind = count > 2 ? arguments[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(LIFE_S);
    puts("on");
    usleep(PAUSE_US); /* so that its limits can be read before it comes to its end by them */
    printf("begun %.6f\n", now());
    if (!strcmp(kind, "fork")) take_tasks(atol(arguments[2]));
    else if (!strcmp(kind, "memory")) take_memory(atol(arguments[2]));
    else if (!strcmp(kind, "compute")) compute(atol(arguments[2]));
    else if (!strcmp(kind, "write") && count > 3) write_blocks(arguments[2], atof(arguments[3]));
    else return 2;
    for (;;) pause();
}
