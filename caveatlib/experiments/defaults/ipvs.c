/* ipvs SERVICE SERVER PORT: gives a service an address of its own by IPVS, with one server behind
   it, and asks both. Both addresses must be this machine's.

   Writes "= ERROR DIRECTLY ANSWERED": the error number of making the service (0: it was made), and
   whether a connection to the server's own address was answered, and one to the service's. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_S = 3 };

static int failed(const char *what)
{
    perror(what);
    return 1;
}

/* Answers whoever connects with a byte. */
static void serve(int listener)
{
    for (;;) {
        int link = accept(listener, NULL, NULL);
        if (link < 0 || write(link, "x", 1) != 1)
            _exit(1);
        close(link);
    }
}

static int answered(const struct sockaddr_in *where)
{
    char byte = 0;
    struct timeval most = {.tv_sec = WAIT_S};
    int link = socket(AF_INET, SOCK_STREAM, 0);
    int good = link >= 0 && !setsockopt(link, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) &&
               !setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) &&
               !connect(link, (const struct sockaddr *)where, sizeof *where) &&
               read(link, &byte, 1) == 1 && byte == 'x';
    close(link);
    return good;
}

/* Connections to the service go to the server: their addresses are rewritten. */
static int make(const struct sockaddr_in *service, const struct sockaddr_in *server)
{
    struct {
        struct ip_vs_service_user service;
        struct ip_vs_dest_user server;
    } asked = {
        .service = {.protocol = IPPROTO_TCP,
                    .addr = service->sin_addr.s_addr,
                    .port = service->sin_port,
                    .sched_name = "rr"},
        .server = {.addr = server->sin_addr.s_addr,
                   .port = server->sin_port,
                   .conn_flags = IP_VS_CONN_F_MASQ,
                   .weight = 1},
    };
    int control = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (control < 0)
        return errno;
    int error = 0;
    if (setsockopt(control, IPPROTO_IP, IP_VS_SO_SET_ADD, &asked.service, sizeof asked.service) ||
        setsockopt(control, IPPROTO_IP, IP_VS_SO_SET_ADDDEST, &asked, sizeof asked))
        error = errno;
    close(control);
    return error;
}

int main(int count, char **words)
{
    struct sockaddr_in service = {.sin_family = AF_INET}, server = service;
    if (count != 4 || !inet_aton(words[1], &service.sin_addr) ||
        !inet_aton(words[2], &server.sin_addr)) {
        fprintf(stderr, "usage: ipvs SERVICE SERVER PORT\n");
        return 2;
    }
    service.sin_port = server.sin_port = htons(atoi(words[3]));
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&server, sizeof server) ||
        listen(listener, 8))
        return failed("listen");
    pid_t child = fork();
    if (child < 0)
        return failed("fork");
    if (child == 0)
        serve(listener);
    int error = make(&service, &server);
    int directly = answered(&server);
    printf("= %d %d %d\n", error, directly, answered(&service));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
