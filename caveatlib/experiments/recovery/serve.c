/* serve: answers each request over UDP with the next ticket, once that is written to the volume.

   CAVEATLIB_PORT, CAVEATLIB_SLOT and CAVEATLIB_VOLUME say where: it listens on PORT + SLOT, and
   appends "TICKET BEGUN" to VOLUME/PORT-SLOT, BEGUN being its own start (CLOCK_MONOTONIC, ns).
   One that starts goes on after the last ticket that is written there.

   serve ask: asks the one of this PORT and SLOT; status 0 if it answers within half a second. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 40 };

struct answer {
    uint32_t number, slot;
    uint64_t begun, ticket;
};

static void quit(int number) {
    (void)number;
    _exit(0);
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    if (!value) exit(2);
    return value;
}

static int ask(int udp, const struct sockaddr_in *whom) {
    struct answer answer = {0};
    struct timeval patience = {0, 500000};
    if (setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) return 3;
    if (connect(udp, (const struct sockaddr *)whom, sizeof *whom)) return 3;
    if (send(udp, &answer.number, sizeof answer.number, 0) < 0) return 1;
    return recv(udp, &answer, sizeof answer, 0) == (ssize_t)sizeof answer ? 0 : 1;
}

static uint64_t last_ticket(int file) {
    char line[LINE + 1] = {0};
    if (lseek(file, -LINE, SEEK_END) < 0 || read(file, line, LINE) != LINE) return 0;
    return strtoull(line, NULL, 10);
}

int main(int count, char **arguments) {
    (void)arguments;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t begun = now.tv_sec * 1000000000ULL + now.tv_nsec;
    const char *port = setting("CAVEATLIB_PORT"), *slot = setting("CAVEATLIB_SLOT");
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons(atoi(port) + atoi(slot)),
                               .sin_addr.s_addr = htonl(count > 1 ? INADDR_LOOPBACK : INADDR_ANY)};
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (udp < 0) return 3;
    if (count > 1) return ask(udp, &here);
    signal(SIGTERM, quit);
    char path[4096], line[LINE + 1];
    snprintf(path, sizeof path, "%s/%s-%s", setting("CAVEATLIB_VOLUME"), port, slot);
    int file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return 4;
    uint64_t ticket = last_ticket(file);
    struct answer answer = {.slot = htonl(atoi(slot)), .begun = htobe64(begun)};
    if (bind(udp, (struct sockaddr *)&here, sizeof here)) return 5;
    for (;;) {
        struct sockaddr_in who;
        socklen_t size = sizeof who;
        ssize_t got = recvfrom(udp, &answer.number, sizeof answer.number, 0,
                               (struct sockaddr *)&who, &size);
        if (got != (ssize_t)sizeof answer.number) continue;
        int length = snprintf(line, sizeof line, "%019llu %019llu\n",
                              (unsigned long long)ticket + 1, (unsigned long long)begun);
        if (length != LINE || write(file, line, LINE) != LINE) continue;
        answer.ticket = htobe64(++ticket);
        sendto(udp, &answer, sizeof answer, 0, (struct sockaddr *)&who, size);
    }
}
