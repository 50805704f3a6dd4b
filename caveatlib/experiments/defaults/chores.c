/* chores log LINES FILE        lines of 100 bytes to standard output, a write each; what one took
                                goes to FILE, since standard output is what is measured
   chores close                 closes every descriptor that a process may have, as programs do
                                before they start another
   chores serve PORT            sends back what it gets, one connection after the other
   chores ask ADDRESS PORT N    N round trips of 100 bytes over one connection

   Each writes "= ..." with its seconds, "close" the limit before, "ask" the median of all. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 100, WARMUP = 500, TRIES = 500, PAUSE_US = 10000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int failed(const char *what)
{
    perror(what);
    return 1;
}

static int write_lines(long count, const char *path)
{
    char line[LINE];
    memset(line, 'x', LINE);
    line[LINE - 1] = '\n';
    double begun = now();
    for (long i = 0; i < count; i++) {
        char number[16];
        memcpy(line, number, snprintf(number, sizeof number, "%010ld ", i)); /* none is as another */
        if (write(1, line, LINE) != LINE)
            return failed("write");
    }
    double took = (now() - begun) / count;
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "= %.9g\n", took) < 0 || fclose(file))
        return failed(path);
    return 0;
}

static int close_all(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return failed("getrlimit");
    double begun = now();
    for (rlim_t i = 3; i < limit.rlim_cur; i++)
        close(i);
    printf("= %.9g %.9g\n", (double)limit.rlim_cur, now() - begun);
    return 0;
}

static int exchange(int link, char *message, ssize_t size)
{
    for (ssize_t sent = 0, got; sent < size; sent += got)
        if ((got = send(link, message + sent, size - sent, MSG_NOSIGNAL)) <= 0)
            return 0;
    return 1;
}

static int serve(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8))
        return failed("listen");
    printf("on\n");
    fflush(stdout);
    for (int link; (link = accept(listener, NULL, NULL)) >= 0; close(link)) {
        char message[4096];
        setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        for (ssize_t got; (got = recv(link, message, sizeof message, 0)) > 0;)
            if (!exchange(link, message, got))
                break;
    }
    return failed("accept");
}

static int by_size(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static int ask(const char *address, int port, long count)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, link = -1;
    double *took = calloc(count + 1, sizeof *took);
    if (!took || inet_pton(AF_INET, address, &there.sin_addr) != 1)
        return failed(address);
    for (int i = 0; i < TRIES; i++) { /* the bridge may still be learning who is there */
        link = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(link, (struct sockaddr *)&there, sizeof there))
            break;
        close(link);
        link = -1;
        usleep(PAUSE_US);
    }
    if (link < 0)
        return failed("connect");
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (long i = -WARMUP; i < count; i++) {
        char message[LINE] = "";
        double begun = now();
        if (!exchange(link, message, LINE) || recv(link, message, LINE, MSG_WAITALL) != LINE)
            return failed("round trip");
        if (i >= 0)
            took[i] = now() - begun;
    }
    qsort(took, count, sizeof *took, by_size);
    printf("= %.9g\n", took[count / 2]);
    return 0;
}

int main(int argc, char **argv)
{
    const char *chore = argc > 1 ? argv[1] : "";
    if (argc == 4 && !strcmp(chore, "log") && atol(argv[2]) > 0)
        return write_lines(atol(argv[2]), argv[3]);
    if (argc == 2 && !strcmp(chore, "close"))
        return close_all();
    if (argc == 3 && !strcmp(chore, "serve"))
        return serve(atoi(argv[2]));
    if (argc == 5 && !strcmp(chore, "ask") && atol(argv[4]) > 0)
        return ask(argv[2], atoi(argv[3]), atol(argv[4]));
    fprintf(stderr, "usage: chores log LINES FILE | close | serve PORT | ask ADDRESS PORT N\n");
    return 2;
}
