/* Runs a program as on Linux 3.2: every system call that is younger fails as it does there. For x86_64.
 *
 *     launcher [-l] [-s] PROGRAM [ARGUMENT...]
 *
 * -l  no hard links, as on FAT; -s  no SEEK_DATA and SEEK_HOLE, as on old NFS and FUSE.
 *
 * A filter of seccomp answers; children inherit it. What it cannot show: flags that an old kernel ignores, and what it did otherwise
 * inside a call that it has (fstat on an O_PATH descriptor, which is EBADF before 3.6). */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__LP64__)
#error "the numbers below are those of x86_64"
#endif

enum { LAST_OF_3_2 = 311 }; /* process_vm_writev; kcmp came with 3.5 */

static struct sock_filter filter[256];
static unsigned short length;

static void say(unsigned short code, unsigned char then, unsigned char other, unsigned value) {
    filter[length++] = (struct sock_filter){code, then, other, value};
}

static void load(size_t offset) { say(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }

static void fail(int error) { say(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error); }

/* Calls of this number whose argument, of its bits in `mask`, is `value`. */
static void rule(unsigned number, int argument, unsigned mask, unsigned value, int error) {
    load(offsetof(struct seccomp_data, nr));
    say(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, number);
    load(offsetof(struct seccomp_data, args) + 8 * argument);
    say(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
    say(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
    fail(error);
}

int main(int count, char **words) {
    load(offsetof(struct seccomp_data, arch));
    say(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
    fail(ENOSYS);
    load(offsetof(struct seccomp_data, nr));
    say(BPF_JMP | BPF_JGT | BPF_K, 0, 1, LAST_OF_3_2);
    fail(ENOSYS);
    /* __O_TMPFILE (3.11): what is left of the flags opens a directory to be written. */
    rule(SYS_open, 1, 0x400000, 0x400000, EISDIR);
    rule(SYS_openat, 2, 0x400000, 0x400000, EISDIR);
    /* FICLONE, FICLONERANGE (4.5) */
    rule(SYS_ioctl, 1, ~0u, 0x40049409, EOPNOTSUPP);
    rule(SYS_ioctl, 1, ~0u, 0x4020940d, EOPNOTSUPP);
    /* F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW (3.15), F_ADD_SEALS, F_GET_SEALS (3.17) */
    for (unsigned command = 36; command <= 38; command++) rule(SYS_fcntl, 1, ~0u, command, EINVAL);
    for (unsigned command = 1033; command <= 1034; command++) rule(SYS_fcntl, 1, ~0u, command, EINVAL);
    rule(SYS_madvise, 2, ~0u, 8, EINVAL); /* MADV_FREE (4.5) */
    rule(SYS_mmap, 3, 15, 3, EINVAL);     /* MAP_SHARED_VALIDATE (4.15) */
    int at = 1;
    for (; at < count && words[at][0] == '-'; at++) {
        if (!strcmp(words[at], "-l")) {
            rule(SYS_link, 0, 0, 0, EPERM);
            rule(SYS_linkat, 0, 0, 0, EPERM);
        } else if (!strcmp(words[at], "-s")) {
            rule(SYS_lseek, 2, ~0u, 3, EINVAL);
            rule(SYS_lseek, 2, ~0u, 4, EINVAL);
        } else {
            break;
        }
    }
    if (at >= count || words[at][0] == '-') return fprintf(stderr, "launcher [-l] [-s] PROGRAM [ARGUMENT...]\n"), 2;
    say(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return perror("launcher: can't install the filter"), 2;
    execvp(words[at], words + at);
    return perror(words[at]), 127;
}
