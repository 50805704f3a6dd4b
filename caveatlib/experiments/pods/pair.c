/* pair serve PORT PATH DELAY_US | pair ask PEER RATE SECONDS | pair reach PEER | pair look PORT
   An application and its sidecar; PEER is "tcp ADDRESS PORT" or "unix PATH -". serve answers on a
   port, and on a socket unless PATH is "-", spins so long before each answer, and takes memory until
   it is killed on SIGUSR1. ask sends at a fixed rate, whatever comes back. look tells what can be seen
   of the application. Prints lines that begin with a word or "=". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

enum { MESSAGE = 100, MOST = 200000, KEY = 0x5ca1, PIECE = 4 << 20, PIECES = 64, PATIENCE_S = 5 };
static const char *MADE = "made-by-the-application", *SECRET = "SECRET=";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static int whole(int peer, char *message) {
    ssize_t more = 1, length = 0;
    while (length < MESSAGE && (more = read(peer, message + length, MESSAGE - length)) > 0) length += more;
    return more > 0;
}

/* Not more than a container's limit and a bit: it is to be killed by it. */
static void take(int number) {
    (void)number;
    for (int i = 0; i < PIECES; i++) {
        char *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece != MAP_FAILED) memset(piece, 1, PIECE);
    }
    _exit(3);
}

static int bound(int port) {
    int made = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (!bind(made, (struct sockaddr *)&at, sizeof at) && !listen(made, 16)) return made;
    close(made);
    return -1;
}

static struct sockaddr_un at_path(const char *path) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    return at;
}

static void echo(int peer, double delay) {
    char message[MESSAGE];
    int yes = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (whole(peer, message)) {
        if (message[0] == 'c') snprintf(message, MESSAGE, "%.9f", cpu());
        for (double until = now() + delay; delay > 0 && now() < until;) {}
        if (write(peer, message, MESSAGE) != MESSAGE) break;
    }
    close(peer);
}

static int serve(int port, const char *path, double delay) {
    struct pollfd from[2] = {{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int yes = 1, at = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    signal(SIGUSR1, take);
    signal(SIGPIPE, SIG_IGN);
    close(open(MADE, O_CREAT | O_WRONLY, 0600));
    shmget(KEY, 4096, IPC_CREAT | 0600);
    setsockopt(at, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(at, (struct sockaddr *)&here, sizeof here) || listen(at, 16)) return perror("bind"), 1;
    from[0].fd = at;
    if (strcmp(path, "-")) {
        struct sockaddr_un there = at_path(path);
        unlink(path);
        from[1].fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (bind(from[1].fd, (struct sockaddr *)&there, sizeof there) || listen(from[1].fd, 16))
            return perror("bind"), 1;
    }
    while (poll(from, 2, -1) > 0)
        for (int i = 0; i < 2; i++)
            if (from[i].revents & POLLIN) {
                int peer = accept(from[i].fd, NULL, NULL);
                if (peer >= 0) echo(peer, delay);
            }
    return 1;
}

/* Connects and has one message answered; asks again for a while. */
static int reached(char **peer, double patience) {
    struct timeval each = {1, 0};
    char message[MESSAGE] = "x";
    for (double until = now() + patience; now() < until; usleep(2000)) {
        int tcp = !strcmp(peer[0], "tcp"), yes = 1, failed;
        int made = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
        setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &each, sizeof each);
        setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &each, sizeof each);
        if (tcp) {
            struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(peer[2]))};
            inet_pton(AF_INET, peer[1], &at.sin_addr);
            failed = connect(made, (struct sockaddr *)&at, sizeof at);
            setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        } else {
            struct sockaddr_un at = at_path(peer[1]);
            failed = connect(made, (struct sockaddr *)&at, sizeof at);
        }
        if (!failed && write(made, message, MESSAGE) == MESSAGE && whole(made, message)) return made;
        close(made);
    }
    return -1;
}

static int compare(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static double servers_cpu(int peer) {
    char message[MESSAGE] = "c";
    if (write(peer, message, MESSAGE) != MESSAGE || !whole(peer, message)) return -1;
    return atof(message);
}

static int ask(char **where, double rate, double seconds) {
    static double took[MOST];
    char message[MESSAGE] = "x";
    long count = rate * seconds;
    int peer = reached(where, PATIENCE_S);
    if (peer < 0 || count < 1 || count > MOST) return puts("unreached"), 1;
    puts("first");
    double theirs = servers_cpu(peer), own = cpu(), begun = now() + 0.01;
    for (long i = 0; i < count; i++) {
        double due = begun + i / rate, from = due;
        if (now() < due) { /* what wakes it late is not the way that is measured */
            struct timespec until = {(time_t)due, (long)((due - (time_t)due) * 1e9)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
            from = now();
        }
        if (write(peer, message, MESSAGE) != MESSAGE || !whole(peer, message)) return puts("lost"), 1;
        took[i] = now() - from;
    }
    own = cpu() - own;
    theirs = servers_cpu(peer) - theirs;
    close(peer);
    qsort(took, count, sizeof *took, compare);
    printf("= %ld %.9f %.9f %.9f\n", count, took[count / 2], took[(long)(count * 0.99)],
           (own + theirs) / count);
    puts("over");
    for (;;) pause();
}

static long text_of(const char *path, char *text, size_t most) {
    int file = open(path, O_RDONLY);
    size_t length = 0;
    ssize_t more;
    while (file >= 0 && length < most && (more = read(file, text + length, most - length)) > 0)
        length += more;
    if (file >= 0) close(file);
    return length;
}

/* The process that serves, if it can be seen. */
static int application(void) {
    DIR *folder = opendir("/proc");
    int found = 0;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        char path[300], text[256] = "";
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        long length = text_of(path, text, sizeof text - 1);
        const char *second = text + strlen(text) + 1;
        if (length > 0 && second < text + length && strstr(text, "pair") && !strcmp(second, "serve"))
            found = atoi(entry->d_name);
    }
    if (folder) closedir(folder);
    return found;
}

static int look(int port) {
    static char text[1 << 16];
    char path[64], wanted[32];
    int pid = application(), environment = 0, files = !access(MADE, F_OK);
    if (pid) {
        snprintf(path, sizeof path, "/proc/%d/environ", pid);
        environment = memmem(text, text_of(path, text, sizeof text), SECRET, strlen(SECRET)) != NULL;
        snprintf(path, sizeof path, "/proc/%d/cwd/%s", pid, MADE);
        files |= !access(path, F_OK);
    }
    snprintf(wanted, sizeof wanted, ":%04X 00000000:0000 0A", port);
    int sockets = memmem(text, text_of("/proc/net/tcp", text, sizeof text), wanted, strlen(wanted)) != NULL;
    printf("= %d %d %d %d %d %d\n", pid > 0, environment, files, shmget(KEY, 0, 0) >= 0, sockets,
           bound(port) >= 0);
    return 0;
}

int main(int count, char **a) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_TIMERSLACK, 1);
    const char *what = count > 1 ? a[1] : "";
    if (!strcmp(what, "serve") && count == 5) return serve(atoi(a[2]), a[3], atof(a[4]) * 1e-6);
    if (!strcmp(what, "ask") && count == 7) return ask(a + 2, atof(a[5]), atof(a[6]));
    if (!strcmp(what, "reach") && count == 5) return reached(a + 2, 1.5) < 0;
    if (!strcmp(what, "look") && count == 3) return look(atoi(a[2]));
    return 2;
}
