/* syscalls FROM TO [rights]: tries every system call with harmless arguments: a line "= NUMBER A B C"
   for each, what it answered to three patterns of arguments: an errno, 0 for success, -1 for no
   return within LIMIT_S, -2 for a process that ended in it. Each try is a process without rights;
   with "rights" it keeps those that it has, which under Linux could end the machine (reboot,
   swapoff, settimeofday). So that is refused unless the kernel is gVisor's. */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "apart.h"

enum { NOBODY = 65534 };
static const double LIMIT_S = 0.3;

struct call {
    long number;
    const long *a;
};

static int answered(const void *with)
{
    const struct call *call = with;
    const long *a = call->a;
    errno = 0;
    return syscall(call->number, a[0], a[1], a[0], a[1], a[0], a[1]) == -1 ? errno : 0;
}

/* Whether the kernel says of itself that it is gVisor, in two ways that gVisor's code holds fixed:
   by the first line of its log, and by a release that it has made up. */
static int is_gvisor(void)
{
    enum { READ_ALL = 3 };
    static const char first[] = "<6>[   0.000000] Starting gVisor...\n";
    static char log[1 << 20];
    struct utsname kernel;
    return klogctl(READ_ALL, log, sizeof log - 1) > 0 && !strncmp(log, first, strlen(first)) &&
           !uname(&kernel) && !strcmp(kernel.release, "4.4.0");
}

/* Whether it has the rights without which gVisor refuses, with EPERM, calls that it does not have. */
static int has_rights(void)
{
    static const int needed[] = {CAP_SYS_ADMIN, CAP_SYS_BOOT,   CAP_SYS_MODULE, CAP_SYS_NICE,
                                 CAP_SYS_PACCT, CAP_SYS_PTRACE, CAP_SYS_RAWIO,  CAP_SYS_TIME};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, has))
        return 0;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!(has[CAP_TO_INDEX(needed[i])].effective & CAP_TO_MASK(needed[i])))
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    static const long patterns[3][2] = {{-1, -1}, {0, 0}, {0, -1}};
    struct rlimit none = {0, 0};
    int keeps_rights = argc == 4 && !strcmp(argv[3], "rights");
    if (argc != 3 && !keeps_rights) {
        fprintf(stderr, "usage: syscalls FROM TO [rights]\n");
        return 2;
    }
    setrlimit(RLIMIT_CORE, &none);
    if (keeps_rights) {
        if (!is_gvisor()) {
            fprintf(stderr, "rights are kept under gVisor only\n");
            return 1;
        }
        if (!has_rights()) {
            fprintf(stderr, "rights are missing that could be kept\n");
            return 1;
        }
    } else if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
               setresuid(NOBODY, NOBODY, NOBODY)) {
        perror("cannot become nobody");
        return 1;
    }
    for (long number = atol(argv[1]); number <= atol(argv[2]); number++) {
        if (number == SYS_vfork || number == SYS_vhangup)
            continue; /* the first shares this stack, the second may end the terminal */
        int said[3];
        for (int i = 0; i < 3; i++)
            said[i] = apart(answered, &(struct call){number, patterns[i]}, LIMIT_S);
        printf("= %ld %d %d %d\n", number, said[0], said[1], said[2]);
        fflush(stdout); /* a line is one write: an engine puts a head before each */
    }
    return 0;
}
