/* room limit FOLDER BYTES      makes a folder a project of its own, which may have so many bytes on
                                its disk; 0 for no limit
   room fill FOLDER BYTES       writes so many bytes to a file in a folder

   Each writes "= BYTES ERROR": those asked for or written, and the error number of what refused
   it or ended it, 0 if nothing did. Projects are those of XFS. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
enum { PROJECT = 1, UNIT = 512, STEP = 1 << 16 };

static int limited(const char *path, long long most)
{
    struct fsxattr about;
    struct fs_disk_quota limit = {
        .d_version = FS_DQUOT_VERSION,
        .d_id = PROJECT,
        .d_flags = FS_PROJ_QUOTA,
        .d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT,
        .d_blk_hardlimit = most / UNIT,
        .d_blk_softlimit = most / UNIT,
    };
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || ioctl(folder, FS_IOC_FSGETXATTR, &about))
        return errno;
    about.fsx_projid = PROJECT;
    about.fsx_xflags |= FS_XFLAG_PROJINHERIT; /* what is made in it belongs to it */
    if (ioctl(folder, FS_IOC_FSSETXATTR, &about))
        return errno;
    int command = QCMD(Q_XSETQLIM, PRJQUOTA);
    return syscall(SYS_quotactl_fd, folder, command, PROJECT, &limit) ? errno : 0;
}

static int filled(const char *path, long long size, long long *written)
{
    static char block[STEP];
    memset(block, 'x', sizeof block);
    char name[4096];
    snprintf(name, sizeof name, "%s/filled", path);
    int file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return errno;
    while (*written < size) {
        long long left = size - *written;
        ssize_t more = write(file, block, left < STEP ? left : STEP);
        if (more <= 0)
            return errno;
        *written += more;
    }
    return fsync(file) ? errno : 0;
}

int main(int count, char **words)
{
    if (count != 4) {
        fprintf(stderr, "usage: room limit|fill FOLDER BYTES\n");
        return 2;
    }
    long long size = atoll(words[3]), done = 0;
    int error = 0;
    if (!strcmp(words[1], "fill"))
        error = filled(words[2], size, &done);
    else if ((done = size))
        error = limited(words[2], size);
    printf("= %lld %d\n", done, error);
    return 0;
}
