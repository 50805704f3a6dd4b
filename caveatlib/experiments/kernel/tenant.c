/* tenant NAME [FAULT]: beats every 50 ms, that is, forks, appends to /data/NAME, reads the clock,
   and writes "beat NAME number clock failed-forks failed-writes". One that has a fault strikes when
   /go/now appears, and says so before ("fault NAME"), while it fills something ("filling NAME"), and,
   if it can, after ("struck NAME amount errno"). It refuses where /go/guest is missing: only guests
   that were booted for it have that. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_NS = 50000000, DRAIN_NS = 300000000, APPENDED = 1024, CHUNK = 1 << 20, STEP_S = 3600 };
static char bytes[CHUNK];
static const char *name;

static void say(const char *what, const char *rest) {
    char line[128];
    int length = snprintf(line, sizeof line, "%s %s%s\n", what, name, rest);
    if (write(1, line, length) != length)
        _exit(4);
}

static void rest(long ns) {
    struct timespec t = {0, ns};
    nanosleep(&t, NULL);
}

static int forks(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, NULL, 0) == child;
}

static int appends(const char *path, size_t size) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ssize_t written = file < 0 ? -1 : write(file, bytes, size);
    if (file >= 0)
        close(file);
    return written == (ssize_t)size;
}

/* Every fault returns how far it got, with errno, unless it is the end of us. */

static long panics(void) {
    int trigger = open("/proc/sysrq-trigger", O_WRONLY);
    return trigger < 0 ? 0 : write(trigger, "c", 1);
}

static long fills_memory(void) {
    long taken = 0;
    for (;; taken += CHUNK) {
        char *more = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            return taken;
        memset(more, 1, CHUNK);
        say("filling", "");
    }
}

static long fills(const char *path) {
    long written = 0;
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t more; file >= 0 && (more = write(file, bytes, CHUNK)) > 0; say("filling", ""))
        written += more;
    return written;
}

static long bombs(void) {
    long tasks = 1; /* this one */
    for (pid_t child; (child = fork()) >= 0; tasks++) {
        if (child == 0)
            for (;;)
                pause();
        if (tasks % 16 == 0)
            say("filling", "");
    }
    return tasks;
}

static long steps_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += STEP_S;
    return clock_settime(CLOCK_REALTIME, &t) ? 0 : STEP_S;
}

static long strikes(const char *fault) {
    if (strcmp(fault, "exit") == 0)
        _exit(1);
    if (strcmp(fault, "panic") == 0)
        return panics();
    if (strcmp(fault, "memory") == 0)
        return fills_memory();
    if (strcmp(fault, "tmpfs") == 0)
        return fills("/hog/file");
    if (strcmp(fault, "tasks") == 0)
        return bombs();
    if (strcmp(fault, "disk") == 0)
        return fills("/data/hog");
    return strcmp(fault, "clock") == 0 ? steps_clock() : -1;
}

int main(int argc, char **argv) {
    const char *fault = argc > 2 ? argv[2] : NULL;
    char told[96], path[64];
    long failed_forks = 0, failed_writes = 0;
    name = argc > 1 ? argv[1] : "?";
    if (access("/go/guest", F_OK) != 0) {
        fprintf(stderr, "tenant: not in a guest of ours\n");
        return 3;
    }
    snprintf(path, sizeof path, "/data/%.16s", name);
    memset(bytes, 1, sizeof bytes);
    for (long number = 0;; number++) {
        struct timespec t;
        failed_forks += !forks();
        failed_writes += !appends(path, APPENDED);
        clock_gettime(CLOCK_REALTIME, &t);
        snprintf(told, sizeof told, " %ld %lld.%03ld %ld %ld", number, (long long)t.tv_sec,
                 t.tv_nsec / 1000000, failed_forks, failed_writes);
        say("beat", told);
        if (fault && access("/go/now", F_OK) == 0) {
            say("fault", "");
            tcdrain(1);
            rest(DRAIN_NS); /* what was written before is on its way through the serial line */
            errno = 0;
            long amount = strikes(fault);
            snprintf(told, sizeof told, " %ld %d", amount, errno);
            say("struck", told);
            fault = NULL;
        }
        rest(BEAT_NS);
    }
}
