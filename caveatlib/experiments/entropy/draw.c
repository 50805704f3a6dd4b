/* draw CALLS: takes 16 random bytes CALLS times and tells how long each call took, a name and
   a number per line. A call that slept (a voluntary switch) waited for something; one that was
   only preempted did not. As a control it reads a timer that is dry for 2 ms at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 16, DRY_CALLS = 25, DRY_NS = 2000000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static long switches(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_nvcsw;
}

/* The system call itself: libc may answer from the vDSO. */
static long take(int file, int flags) {
    char bytes[BYTES];
    return file < 0 ? syscall(SYS_getrandom, bytes, BYTES, flags) : read(file, bytes, BYTES);
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, int file, int calls) {
    double *took = calloc(calls, sizeof *took), waited = 0;
    int waits = 0;
    for (int i = 0; i < calls; i++) {
        long before = switches();
        double begun = now();
        if (take(file, 0) < 0) { perror(name); exit(1); }
        took[i] = now() - begun;
        if (switches() != before) { waits++; waited += took[i]; }
    }
    qsort(took, calls, sizeof *took, order);
    printf("%sp50_s %.10f\n%sp99_s %.10f\n%smax_s %.10f\n", name, took[calls / 2], name,
           took[calls * 99 / 100], name, took[calls - 1]);
    printf("%swaits %d\n%swaited_s %.10f\n", name, waits, name, waited);
}

int main(int count, char **arguments) {
    int calls = count > 1 ? atoi(arguments[1]) : 0, timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec dry = {{0, DRY_NS}, {0, DRY_NS}};
    int refused = take(-1, GRND_NONBLOCK) < 0 && errno == EAGAIN;
    double begun = now();
    if (calls < 1 || take(-1, 0) < 0) return 1;
    printf("first_refused %d\nfirst_s %.10f\n", refused, now() - begun);
    measure("call_", -1, calls);
    measure("device_", open("/dev/random", O_RDONLY), calls);
    timerfd_settime(timer, 0, &dry, NULL);
    measure("dry_", timer, DRY_CALLS);
    puts("drawn");
    return 0;
}
