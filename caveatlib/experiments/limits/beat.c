/* beat RATE SECONDS: a service that forks for each request, as requests are due, however late it
   is. Tells for each when it was due (CLOCK_MONOTONIC) and how long after that its child had
   ended; -1 if none could be made. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
    double rate = count > 1 ? atof(arguments[1]) : 0, seconds = count > 2 ? atof(arguments[2]) : 0;
    if (rate <= 0 || seconds <= 0) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("on");
    double begun = now();
    for (long i = 0; i < rate * seconds; i++) {
        double due = begun + i / rate;
        struct timespec until = {(time_t)due, (long)((due - (time_t)due) * 1e9)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        pid_t made = fork();
        if (!made) _exit(0);
        if (made > 0) waitpid(made, NULL, 0);
        printf("beat %.6f %.9f\n", due, made > 0 ? now() - due : -1);
    }
    puts("over");
    return 0;
}
