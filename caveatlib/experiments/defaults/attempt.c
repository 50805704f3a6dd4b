/* attempt FOLDER: tries what containers are kept from, each thing in a process of its own, with
   arguments that change nothing, or that are wrong only after the permission has been checked.

   Writes "= NAME ERRNO" for each, 0 if it is allowed, and "seen NAME VALUE" for what confines it.
   FOLDER is for files that last as long as the attempt, on a file system that can have any. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "apart.h"

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
enum { NOBODY = 65534, SOMEBODY = 1, BAD_FLAG = 0x8000, UNREAD_BYTES = 9, KCMP_VM = 1 };
static const double LIMIT_S = 5;
static const char *folder;

static const char *in(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int told(long result) { return result < 0 ? errno : 0; }

/* Allowed, too, if it failed only at what comes after the permission. */
static int past(long result, int after) { return told(result) == after ? 0 : told(result); }

static int opened(const char *path, int flags) { return told(open(path, flags | O_CLOEXEC)); }

/* Docker hides a file behind /dev/null, a folder behind an empty one. */
static int unhidden(const char *path)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about))
        return errno;
    return S_ISCHR(about.st_mode) ? ENODATA : 0;
}

static int filled(const char *path)
{
    DIR *files = opendir(path);
    int count = 0;
    if (!files)
        return errno;
    while (readdir(files))
        count++;
    return count > 2 ? 0 : ENODATA;
}

static int made_node(mode_t kind, unsigned major_number, unsigned minor_number, int and_open)
{
    const char *path = in("node");
    unlink(path);
    int said = told(mknod(path, kind | 0600, makedev(major_number, minor_number)));
    if (!said && and_open)
        said = opened(path, O_RDONLY | O_NONBLOCK);
    unlink(path);
    return said;
}

static pid_t idle_child(void)
{
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    return child;
}

static int ended(pid_t child, int said)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return said;
}

/* File systems */

static int t_mount(void)
{
    const char *at = in("mounted");
    mkdir(at, 0700);
    int said = told(mount("none", at, "tmpfs", 0, "size=64k"));
    if (!said)
        umount2(at, MNT_DETACH);
    rmdir(at);
    return said;
}
static int t_fsopen(void) { return told(syscall(SYS_fsopen, "tmpfs", 0)); }
static int t_pivot_root(void)
{
    return past(syscall(SYS_pivot_root, "/nowhere/at", "/nowhere/at"), ENOENT);
}
static int t_chroot(void) { return told(chroot("/")); }
static int t_chown(void)
{
    const char *path = in("owned");
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    int said = file < 0 ? errno : told(fchown(file, SOMEBODY, SOMEBODY));
    unlink(path);
    return said;
}
static int t_read_any_file(void)
{
    const char *path = in("closed");
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    if (file < 0 || fchown(file, SOMEBODY, SOMEBODY) || fchmod(file, 0))
        return errno;
    int said = opened(path, O_RDONLY);
    unlink(path);
    return said;
}
static int t_open_by_handle(void)
{
    struct {
        struct file_handle head;
        uint32_t inode, generation;
    } handle = {.head = {.handle_bytes = 8, .handle_type = 1}};
    int at = open(folder, O_RDONLY | O_DIRECTORY);
    return at < 0 ? errno : past(open_by_handle_at(at, &handle.head, O_RDONLY), ESTALE);
}
static int t_swapoff(void) { return past(swapoff("/nowhere/at"), ENOENT); }
static int t_acct(void) { return past(acct("/nowhere/at"), ENOENT); }
static int t_fanotify(void)
{
    return told(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY));
}
static int t_mknod_char(void) { return made_node(S_IFCHR, 1, 3, 0); }
static int t_mknod_block(void) { return made_node(S_IFBLK, 7, 0, 0); }
static int t_open_disk(void)
{
    int said = made_node(S_IFBLK, 7, 0, 1);
    return said == ENXIO ? 0 : said; /* no such disk: it may be opened */
}
static int t_open_memory(void) { return made_node(S_IFCHR, 1, 1, 1); }
static int t_open_log(void) { return made_node(S_IFCHR, 1, 11, 1); }

/* Files of the kernel, opened and not written to */

static int t_write_proc_sys(void) { return opened("/proc/sys/vm/overcommit_memory", O_WRONLY); }
static int t_write_sys(void) { return opened("/sys/kernel/rcu_expedited", O_WRONLY); }
static int t_write_cgroup(void)
{
    int said = opened("/sys/fs/cgroup/cgroup.procs", O_WRONLY);
    return said == ENOENT ? opened("/sys/fs/cgroup/pids/cgroup.procs", O_WRONLY) : said;
}
static int t_sysrq(void) { return opened("/proc/sysrq-trigger", O_WRONLY); }
static int t_read_kcore(void) { return unhidden("/proc/kcore"); }
static int t_read_timers(void) { return unhidden("/proc/timer_list"); }
static int t_read_keys(void) { return unhidden("/proc/keys"); }
static int t_list_firmware(void) { return filled("/sys/firmware"); }

/* Namespaces and processes */

static int t_unshare_user(void) { return told(unshare(CLONE_NEWUSER)); }
static int t_unshare_mount(void) { return told(unshare(CLONE_NEWNS)); }
static int t_setns(void)
{
    int own = open("/proc/self/ns/uts", O_RDONLY);
    return own < 0 ? errno : told(setns(own, CLONE_NEWUTS));
}
static int t_clone3(void)
{
    uint64_t arguments[8] = {[4] = SIGCHLD};
    long child = syscall(SYS_clone3, arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    return child < 0 ? errno : ended(child, 0);
}
static int t_ptrace(void)
{
    pid_t child = idle_child();
    return ended(child, told(ptrace(PTRACE_SEIZE, child, NULL, NULL)));
}
static int t_read_process(void)
{
    pid_t child = idle_child();
    long there = 1, here = 0;
    struct iovec to = {&here, sizeof here}, from = {&there, sizeof there};
    return ended(child, told(process_vm_readv(child, &to, 1, &from, 1, 0)));
}
static int t_kcmp(void) { return told(syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0)); }
static int t_setuid(void) { return told(setresuid(SOMEBODY, SOMEBODY, SOMEBODY)); }
static int t_setuid_program(void)
{
    const char *path = in("setuid");
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0700), status;
    struct stat about;
    if (from < 0 || to < 0 || fstat(from, &about))
        return errno;
    for (off_t at = 0; at < about.st_size;)
        if (sendfile(to, from, &at, about.st_size - at) <= 0)
            return errno;
    if (fchmod(to, 04755) || close(to))
        return errno;
    pid_t child = fork();
    if (child == 0) {
        if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
            _exit(errno);
        execl(path, path, "--who", NULL);
        _exit(errno);
    }
    waitpid(child, &status, 0);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}
static int t_nice(void) { return told(setpriority(PRIO_PROCESS, 0, -5)); }
static int t_raise_limit(void)
{
    struct rlimit none = {0, 0}, some = {1, 1};
    return setrlimit(RLIMIT_CORE, &none) ? errno : told(setrlimit(RLIMIT_CORE, &some));
}
static int t_personality(void) { return told(personality(ADDR_NO_RANDOMIZE)); }

/* The kernel's own */

static int t_keyctl(void)
{
    return past(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), ENOKEY);
}
static int t_add_key(void)
{
    return told(syscall(SYS_add_key, "user", "attempt", "x", 1UL, KEY_SPEC_PROCESS_KEYRING));
}
static int t_bpf(void)
{
    union bpf_attr map = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return told(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
}
static int t_perf_event(void)
{
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event,
                                    .config = PERF_COUNT_SW_TASK_CLOCK,
                                    .exclude_kernel = 1, .exclude_hv = 1};
    return told(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0UL));
}
static int t_io_uring(void)
{
    uint32_t parameters[30] = {0}; /* struct io_uring_params */
    return told(syscall(SYS_io_uring_setup, 1, parameters));
}
static int t_userfaultfd(void) { return told(syscall(SYS_userfaultfd, O_CLOEXEC)); }
static int t_mempolicy(void) { return told(syscall(SYS_get_mempolicy, NULL, NULL, 0UL, NULL, 0UL)); }
static int t_syslog(void) { return told(syscall(SYS_syslog, UNREAD_BYTES, NULL, 0)); }
static int t_settimeofday(void) { return told(syscall(SYS_settimeofday, NULL, NULL)); }
static int t_sethostname(void)
{
    char name[256];
    return gethostname(name, sizeof name) ? errno : told(sethostname(name, strlen(name)));
}
static int t_reboot(void) { return past(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL); }
static int t_kexec(void) { return past(syscall(SYS_kexec_load, 0UL, 0UL, NULL, BAD_FLAG), EINVAL); }
static int t_load_module(void) { return past(syscall(SYS_init_module, "none", 4UL, ""), ENOEXEC); }
static int t_iopl(void) { return told(iopl(3)); }

/* Networks */

static int t_raw_socket(void) { return told(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int t_packet_socket(void) { return told(socket(AF_PACKET, SOCK_RAW, 0)); }
static int t_vsock(void) { return told(socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int t_port_80(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(80),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one))
        return errno;
    return told(bind(listener, (struct sockaddr *)&here, sizeof here));
}
static int t_change_interface(void)
{
    struct ifreq loopback = {.ifr_name = "lo"};
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    if (any < 0 || ioctl(any, SIOCGIFFLAGS, &loopback))
        return errno;
    return told(ioctl(any, SIOCSIFFLAGS, &loopback));
}

static const struct attempt {
    const char *name;
    int (*try)(void);
} attempts[] = {
    {"mount", t_mount},
    {"fsopen", t_fsopen},
    {"pivot-root", t_pivot_root},
    {"chroot", t_chroot},
    {"chown", t_chown},
    {"read-any-file", t_read_any_file},
    {"open-by-handle", t_open_by_handle},
    {"swapoff", t_swapoff},
    {"acct", t_acct},
    {"fanotify", t_fanotify},
    {"mknod-char", t_mknod_char},
    {"mknod-block", t_mknod_block},
    {"open-disk", t_open_disk},
    {"open-memory", t_open_memory},
    {"open-log", t_open_log},
    {"write-proc-sys", t_write_proc_sys},
    {"write-sys", t_write_sys},
    {"write-cgroup", t_write_cgroup},
    {"sysrq", t_sysrq},
    {"read-kcore", t_read_kcore},
    {"read-timers", t_read_timers},
    {"read-keys", t_read_keys},
    {"list-firmware", t_list_firmware},
    {"unshare-user", t_unshare_user},
    {"unshare-mount", t_unshare_mount},
    {"setns", t_setns},
    {"clone3", t_clone3},
    {"ptrace", t_ptrace},
    {"read-process", t_read_process},
    {"kcmp", t_kcmp},
    {"setuid", t_setuid},
    {"setuid-program", t_setuid_program},
    {"nice", t_nice},
    {"raise-limit", t_raise_limit},
    {"personality", t_personality},
    {"keyctl", t_keyctl},
    {"add-key", t_add_key},
    {"bpf", t_bpf},
    {"perf-event", t_perf_event},
    {"io-uring", t_io_uring},
    {"userfaultfd", t_userfaultfd},
    {"mempolicy", t_mempolicy},
    {"syslog", t_syslog},
    {"settimeofday", t_settimeofday},
    {"sethostname", t_sethostname},
    {"reboot", t_reboot},
    {"kexec", t_kexec},
    {"load-module", t_load_module},
    {"iopl", t_iopl},
    {"raw-socket", t_raw_socket},
    {"packet-socket", t_packet_socket},
    {"vsock", t_vsock},
    {"port-80", t_port_80},
    {"change-interface", t_change_interface},
};

static int tried(const void *with)
{
    errno = 0;
    return ((const struct attempt *)with)->try();
}

/* The first line of a file that begins with a name, without it. */
static const char *line_of(const char *path, const char *name)
{
    static char line[1024];
    FILE *file = fopen(path, "r");
    size_t length = strlen(name);
    line[0] = 0;
    while (file && fgets(line, sizeof line, file) && strncmp(line, name, length))
        line[0] = 0;
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = 0;
    return line + (line[0] ? length : 0);
}

static void see(const char *name, long value)
{
    printf("seen %s %ld\n", name, value);
    fflush(stdout);
}

static void look(void)
{
    static const char status[] = "/proc/self/status";
    unsigned long inside = 0, outside = 0;
    sscanf(line_of("/proc/self/uid_map", ""), "%lu %lu", &inside, &outside);
    see("seccomp", atol(line_of(status, "Seccomp:")) == 2);
    see("user_namespace", outside != inside);
    const char *label = line_of("/proc/self/attr/apparmor/current", "");
    if (!*label)
        label = line_of("/proc/self/attr/current", "");
    see("apparmor", strstr(label, "(enforce)") != NULL);
    see("no_new_privileges", atol(line_of(status, "NoNewPrivs:")));
    see("capabilities", __builtin_popcountll(strtoull(line_of(status, "CapEff:"), NULL, 16)));
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--who"))
        return geteuid() == 0 ? 0 : EPERM;
    if (argc != 2) {
        fprintf(stderr, "usage: attempt FOLDER\n");
        return 2;
    }
    folder = argv[1];
    look();
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        printf("= %s %d\n", attempts[i].name, apart(tried, &attempts[i], LIMIT_S));
        fflush(stdout); /* a line is one write: an engine puts a head before each */
    }
    return 0;
}
