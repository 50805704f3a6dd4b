/* replica serve PORT LOCK_PORT | replica lock PORT
   serve answers GET /BUSY_US/LOCKED_US, one request at a time: it sleeps so long, for the locked
   part of it with the lock. lock has one holder at a time, first come, first served. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ASKED = 1024, WAITING = 128 };

static int listening(int port) {
    int made = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(made, (struct sockaddr *)&at, sizeof at) || listen(made, WAITING)) {
        perror("replica");
        exit(1);
    }
    return made;
}

static void nap(long us) {
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (us > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left)) {}
}

/* The lock is held as long as the connection is open. */
static void lock(int port) {
    for (int at = listening(port);;) {
        int holder = accept(at, NULL, NULL);
        char gone;
        if (holder < 0) continue;
        if (send(holder, "g", 1, 0) == 1)
            while (read(holder, &gone, 1) > 0) {}
        close(holder);
    }
}

static int nap_locked(int port, long us) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int held = socket(AF_INET, SOCK_STREAM, 0), granted;
    char word;
    granted = !connect(held, (struct sockaddr *)&at, sizeof at) && read(held, &word, 1) == 1;
    if (granted) nap(us);
    close(held);
    return granted;
}

static void answer(int client, int lock_port) {
    char asked[ASKED] = "";
    size_t length = 0;
    ssize_t more;
    long busy = 0, locked = 0;
    while (length < ASKED - 1 && !strstr(asked, "\r\n\r\n") &&
           (more = read(client, asked + length, ASKED - 1 - length)) > 0)
        asked[length += more] = 0;
    const char *status = "200 OK";
    if (sscanf(asked, "GET /%ld/%ld", &busy, &locked) != 2) status = "400 Bad Request";
    nap(busy - locked);
    if (locked > 0 && !nap_locked(lock_port, locked)) status = "500 No Lock";
    dprintf(client, "HTTP/1.0 %s\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n", status);
}

static void serve(int port, int lock_port) {
    struct timeval patience = {1, 0};
    for (int at = listening(port);;) {
        int client = accept(at, NULL, NULL);
        if (client < 0) continue;
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        answer(client, lock_port);
        close(client);
    }
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    if (count == 4 && !strcmp(arguments[1], "serve")) serve(atoi(arguments[2]), atoi(arguments[3]));
    if (count == 3 && !strcmp(arguments[1], "lock")) lock(atoi(arguments[2]));
    return 2;
}
