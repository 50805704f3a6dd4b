/* load closed PORT CLIENTS SECONDS BUSY_US LOCKED_US | load batch PORT REPLICAS SECONDS SERIAL_US PART_US
   closed: each client asks again as soon as it is answered. batch: one asks for the serial part, then
   all at once for a part each, and nobody goes on before all are answered. Prints what it counted. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, KEPT = 20000, PATH = 64 };
static const double WARM_S = 0.2;

struct client {
    pthread_t thread;
    int number, failed, served;
    double ended[KEPT], took[KEPT];
};

static int port, clients, over;
static double seconds, begun, last;
static long batches;
static char first_path[PATH], second_path[PATH];
static pthread_barrier_t all;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int ask(const char *path) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {5, 0};
    char said[512] = "", rest[512];
    int server = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!connect(server, (struct sockaddr *)&at, sizeof at)) {
        dprintf(server, "GET %s HTTP/1.0\r\n\r\n", path);
        ssize_t length = read(server, said, sizeof said - 1);
        said[length > 0 ? length : 0] = 0;
        while (length > 0) length = read(server, rest, sizeof rest);
    }
    close(server);
    return strstr(said, " 200 ") != NULL;
}

static void *ask_on(void *given) {
    struct client *me = given;
    /* Spread over the time of one request, or all would be answered in bursts. */
    usleep(20000 * me->number / clients);
    const double from = begun + WARM_S, until = from + seconds;
    for (double asked; (asked = now()) < until;) {
        int good = ask(first_path);
        double ended = now();
        me->failed += !good;
        if (!good || ended < from || ended > until || me->served == KEPT) continue;
        me->ended[me->served] = ended;
        me->took[me->served++] = ended - asked;
    }
    return NULL;
}

static void *meet(void *given) {
    struct client *me = given;
    for (;;) {
        if (!me->number) me->failed += !ask(first_path);
        pthread_barrier_wait(&all);
        me->failed += !ask(second_path);
        pthread_barrier_wait(&all);
        if (!me->number) {
            last = now();
            if (!begun) begun = last; /* the first batch is not counted */
            else over = (batches++, last - begun >= seconds);
        }
        pthread_barrier_wait(&all);
        if (over) return NULL;
    }
}

static int compare(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static void tell_closed(struct client *made) {
    static double ended[MOST * KEPT], took[MOST * KEPT];
    long served = 0, failed = 0;
    for (int i = 0; i < clients; i++) {
        memcpy(ended + served, made[i].ended, made[i].served * sizeof *ended);
        memcpy(took + served, made[i].took, made[i].served * sizeof *took);
        served += made[i].served;
        failed += made[i].failed;
    }
    qsort(ended, served, sizeof *ended, compare);
    qsort(took, served, sizeof *took, compare);
    double lasted = served > 1 ? ended[served - 1] - ended[0] : 0;
    printf("= %ld %ld %.9f %.9f %.9f\n", served > 1 ? served - 1 : 0, failed, lasted,
           served ? took[served / 2] : 0, served ? took[(long)(served * 0.99)] : 0);
}

int main(int count, char **arguments) {
    if (count != 7) return 2;
    int batch = !strcmp(arguments[1], "batch");
    port = atoi(arguments[2]);
    clients = atoi(arguments[3]);
    seconds = atof(arguments[4]);
    if (clients < 1 || clients > MOST || seconds <= 0 || seconds > 60) return 2;
    if (batch) {
        snprintf(first_path, PATH, "/%ld/0", atol(arguments[5]));
        snprintf(second_path, PATH, "/%ld/0", atol(arguments[6]));
    } else snprintf(first_path, PATH, "/%ld/%ld", atol(arguments[5]), atol(arguments[6]));
    prctl(PR_SET_TIMERSLACK, 1);
    struct client *made = calloc(clients, sizeof *made);
    pthread_barrier_init(&all, NULL, clients);
    if (!batch) begun = now();
    for (int i = 0; i < clients; i++) {
        made[i].number = i;
        if (pthread_create(&made[i].thread, NULL, batch ? meet : ask_on, made + i)) return 1;
    }
    long failed = 0;
    for (int i = 0; i < clients; i++) {
        pthread_join(made[i].thread, NULL);
        failed += made[i].failed;
    }
    if (batch) printf("= %ld %ld %.9f 0 0\n", batches, failed, last - begun);
    else tell_closed(made);
    return 0;
}
