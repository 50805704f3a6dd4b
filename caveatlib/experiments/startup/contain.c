/* Runs a command with parts of what a container is made of, each only where it is asked for:

   contain [-g GROUP ...] [-n NETNS BRIDGE ADDRESS GATEWAY] [-o LOWER UPPER WORK MERGED] [-r ROOT]
           COMMAND [ARG ...]

   -g  makes a control group and enters it; once for each hierarchy
   -n  a network namespace, and a pair of virtual interfaces: eth0 in it, with an address (/24) and
       a default route, and its peer in another network namespace, on a bridge there
   -o  an overlay mount, in a mount namespace
   -r  pid, mount, UTS and IPC namespaces; the command is the first process there, and ROOT its root.
       Without it the command takes this process's place.

   It asks the kernel directly, as an engine does: no step has a program of its own to start. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125, LONGEST = 4096 };

static _Noreturn void fail(const char *what, const char *name)
{
    fprintf(stderr, "contain: %s %s: %s\n", what, name, strerror(errno));
    exit(FAILED);
}

/* Control groups */

static int copied(const char *group, const char *name)
{
    char path[LONGEST], value[1024];
    ssize_t size;
    int file;
    snprintf(path, sizeof path, "%s/../%s", group, name);
    if ((file = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return 1; /* not of this hierarchy */
    size = read(file, value, sizeof value);
    close(file);
    if (size <= 1)
        return 1;
    snprintf(path, sizeof path, "%s/%s", group, name);
    if ((file = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        return errno == ENOENT; /* version 2, and not handed down so far */
    size -= write(file, value, size);
    close(file);
    return size == 0;
}

static void enter(const char *group)
{
    char path[LONGEST];
    int file;
    if (mkdir(group, 0755) && errno != EEXIST)
        fail("mkdir", group);
    /* A new group has no processor, and takes nobody in until it has its parent's. */
    if (!copied(group, "cpuset.cpus") || !copied(group, "cpuset.mems"))
        fail("cpuset of", group);
    snprintf(path, sizeof path, "%s/cgroup.procs", group);
    if ((file = open(path, O_WRONLY | O_CLOEXEC)) < 0 || write(file, "0", 1) != 1)
        fail("enter", group);
    close(file);
}

/* Network */

static struct {
    struct nlmsghdr head;
    struct ifinfomsg link;
    char room[512];
} asked;

static void *tail(void)
{
    return (char *)&asked + NLMSG_ALIGN(asked.head.nlmsg_len);
}

static struct rtattr *begun(int type, const void *data, size_t size)
{
    struct rtattr *attribute = tail();
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(attribute), data, size);
    asked.head.nlmsg_len = NLMSG_ALIGN(asked.head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
    return attribute;
}

static void ended(struct rtattr *attribute)
{
    attribute->rta_len = (char *)tail() - (char *)attribute;
}

/* Makes a pair: a peer on the bridge where the socket is, and eth0 in another namespace. */
static void pair(int netlink, int bridge, int inside)
{
    static const struct ifinfomsg other;
    struct { struct nlmsghdr head; struct nlmsgerr error; char room[1024]; } answer;
    struct rtattr *info, *data, *peer;
    char name[IFNAMSIZ];

    snprintf(name, sizeof name, "v%d", getpid());
    asked.head = (struct nlmsghdr){
        .nlmsg_len = NLMSG_LENGTH(sizeof asked.link),
        .nlmsg_type = RTM_NEWLINK,
        .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
    };
    asked.link = (struct ifinfomsg){.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    begun(IFLA_IFNAME, name, strlen(name) + 1);
    begun(IFLA_MASTER, &bridge, sizeof bridge);
    info = begun(IFLA_LINKINFO, NULL, 0);
    begun(IFLA_INFO_KIND, "veth", sizeof "veth");
    data = begun(IFLA_INFO_DATA, NULL, 0);
    peer = begun(VETH_INFO_PEER, &other, sizeof other);
    begun(IFLA_IFNAME, "eth0", sizeof "eth0");
    begun(IFLA_NET_NS_FD, &inside, sizeof inside);
    ended(peer);
    ended(data);
    ended(info);
    if (send(netlink, &asked, asked.head.nlmsg_len, 0) < 0)
        fail("send", "RTM_NEWLINK");
    if (recv(netlink, &answer, sizeof answer, 0) < (ssize_t)NLMSG_LENGTH(sizeof answer.error))
        fail("recv", "RTM_NEWLINK");
    if ((errno = -answer.error.error) != 0)
        fail("veth", name);
}

static void up(int socket, const char *name)
{
    struct ifreq ask = {0};
    strncpy(ask.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(socket, SIOCGIFFLAGS, &ask))
        fail("SIOCGIFFLAGS", name);
    ask.ifr_flags |= IFF_UP;
    if (ioctl(socket, SIOCSIFFLAGS, &ask))
        fail("SIOCSIFFLAGS", name);
}

static struct sockaddr address(const char *text)
{
    struct sockaddr_in found = {.sin_family = AF_INET};
    struct sockaddr same;
    if (inet_pton(AF_INET, text, &found.sin_addr) != 1) {
        errno = EINVAL;
        fail("address", text);
    }
    memcpy(&same, &found, sizeof same);
    return same;
}

static void connected(char **words) /* NETNS BRIDGE ADDRESS GATEWAY */
{
    int outside = open(words[0], O_RDONLY | O_CLOEXEC), inside, netlink, socket_inside;
    unsigned bridge;
    struct ifreq ask = {.ifr_name = "eth0"};
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

    if (outside < 0 || setns(outside, CLONE_NEWNET))
        fail("setns", words[0]);
    if ((netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) < 0)
        fail("socket", "netlink");
    if ((bridge = if_nametoindex(words[1])) == 0)
        fail("bridge", words[1]);
    if (unshare(CLONE_NEWNET))
        fail("unshare", "net");
    if ((inside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
        fail("open", "/proc/self/ns/net");
    pair(netlink, bridge, inside);
    if ((socket_inside = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        fail("socket", "inet");
    ask.ifr_addr = address(words[2]);
    if (ioctl(socket_inside, SIOCSIFADDR, &ask))
        fail("SIOCSIFADDR", words[2]);
    ask.ifr_netmask = address("255.255.255.0");
    if (ioctl(socket_inside, SIOCSIFNETMASK, &ask))
        fail("SIOCSIFNETMASK", words[2]);
    up(socket_inside, "lo");
    up(socket_inside, "eth0");
    route.rt_dst = route.rt_genmask = address("0.0.0.0");
    route.rt_gateway = address(words[3]);
    if (ioctl(socket_inside, SIOCADDRT, &route))
        fail("SIOCADDRT", words[3]);
    close(outside);
    close(inside);
    close(netlink);
    close(socket_inside);
}

/* Mounts and processes */

static void overlaid(char **words) /* LOWER UPPER WORK MERGED */
{
    char options[3 * LONGEST];
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", words[0], words[1],
             words[2]);
    if (mount("overlay", words[3], "overlay", 0, options))
        fail("overlay", words[3]);
}

static _Noreturn void executed(char **command)
{
    execvp(command[0], command);
    fail("exec", command[0]);
}

static _Noreturn void first(const char *root, char **command)
{
    char proc[LONGEST];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(proc, sizeof proc, "%s/proc", root);
    if (mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        fail("mount", proc);
    if (chroot(root) || chdir("/"))
        fail("chroot", root);
    executed(command);
}

int main(int argc, char **argv)
{
    char **overlay = NULL, *root = NULL;
    int at = 1, status, spaces = 0;
    pid_t child;

    for (; at < argc && argv[at][0] == '-'; at++) {
        char option = argv[at][1];
        int takes = option == 'g' || option == 'r' ? 1 : option == 'n' || option == 'o' ? 4 : argc;
        if (at + takes >= argc)
            break;
        if (option == 'g')
            enter(argv[at + 1]);
        else if (option == 'n')
            connected(argv + at + 1);
        else if (option == 'o')
            overlay = argv + at + 1;
        else
            root = argv[at + 1];
        at += takes;
    }
    if (at >= argc || argv[at][0] == '-') {
        fprintf(stderr, "contain: usage: contain [-g GROUP ...] [-n NETNS BRIDGE ADDRESS GATEWAY] "
                        "[-o LOWER UPPER WORK MERGED] [-r ROOT] COMMAND [ARG ...]\n");
        return FAILED;
    }
    if (overlay)
        spaces |= CLONE_NEWNS;
    if (root)
        spaces |= CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
    if (unshare(spaces))
        fail("unshare", "namespaces");
    if (spaces && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        fail("mount", "/");
    if (overlay)
        overlaid(overlay);
    if (!root)
        executed(argv + at);
    if ((child = fork()) < 0)
        fail("fork", argv[at]);
    if (child == 0)
        first(root, argv + at);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            fail("wait for", argv[at]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
