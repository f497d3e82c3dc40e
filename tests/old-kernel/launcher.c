/* Runs a program as on Linux 3.2: every system call that is younger fails as it does there. For x86_64, and for ARM and little-endian MIPS
 * of 32 bits, where with them goes all that knows times after 2038 (5.1).
 *
 *     launcher [-l] [-s] PROGRAM [ARGUMENT...]
 *
 * -l  no hard links, as on FAT; -s  no SEEK_DATA and SEEK_HOLE, as on old NFS and FUSE.
 *
 * A filter of seccomp answers; children inherit it. What it cannot show: flags that an old kernel ignores, and what it did otherwise
 * inside a call that it has (fstat on an O_PATH descriptor, which is EBADF before 3.6). */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The last call of 3.2 is process_vm_writev; kcmp came with 3.5. */
#if defined(__x86_64__) && defined(__LP64__)
enum { ARCH = AUDIT_ARCH_X86_64, LAST_OF_3_2 = 311, PRIVATE = -1 };
#elif defined(__ARM_EABI__) && defined(__ARMEL__)
/* Caches and thread pointers have numbers of their own. */
enum { ARCH = AUDIT_ARCH_ARM, LAST_OF_3_2 = 377, PRIVATE = 0x0f0000 };
#elif defined(__mips__) && defined(__MIPSEL__) && _MIPS_SIM == _ABIO32
enum { ARCH = AUDIT_ARCH_MIPSEL, LAST_OF_3_2 = 4346, PRIVATE = -1 };
#else
#error "the numbers of this machine are not known"
#endif

/* What a C library of 32 bits calls. */
#ifdef SYS__llseek
enum { CALL_fcntl = SYS_fcntl64, CALL_mmap = SYS_mmap2, CALL_lseek = SYS__llseek, WHENCE = 4 };
#else
enum { CALL_fcntl = SYS_fcntl, CALL_mmap = SYS_mmap, CALL_lseek = SYS_lseek, WHENCE = 2 };
#endif

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

static int is_missing(long number) { return syscall(number, 0, 0, 0) == -1 && errno == ENOSYS; }

/* Times after 2038 on 32 bits. */
static int has_no_long_times(void) {
#ifdef SYS_clock_gettime64
    return is_missing(SYS_clock_gettime64);
#else
    return 1;
#endif
}

int main(int count, char **words) {
    load(offsetof(struct seccomp_data, arch));
    say(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
    fail(ENOSYS);
    load(offsetof(struct seccomp_data, nr));
    say(BPF_JMP | BPF_JGT | BPF_K, 0, 2, LAST_OF_3_2);
    say(BPF_JMP | BPF_JGE | BPF_K, 1, 0, PRIVATE);
    fail(ENOSYS);
    /* __O_TMPFILE (3.11): what is left of the flags opens a directory to be written. */
    rule(SYS_open, 1, 0x400000, 0x400000, EISDIR);
    rule(SYS_openat, 2, 0x400000, 0x400000, EISDIR);
    /* FICLONE, FICLONERANGE (4.5) */
    rule(SYS_ioctl, 1, ~0u, FICLONE, EOPNOTSUPP);
    rule(SYS_ioctl, 1, ~0u, FICLONERANGE, EOPNOTSUPP);
    /* F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW (3.15), F_ADD_SEALS, F_GET_SEALS (3.17) */
    for (unsigned command = 36; command <= 38; command++) rule(CALL_fcntl, 1, ~0u, command, EINVAL);
    for (unsigned command = 1033; command <= 1034; command++) rule(CALL_fcntl, 1, ~0u, command, EINVAL);
    rule(SYS_madvise, 2, ~0u, 8, EINVAL); /* MADV_FREE (4.5) */
    rule(CALL_mmap, 3, 15, 3, EINVAL);    /* MAP_SHARED_VALIDATE (4.15) */
    int at = 1;
    for (; at < count && words[at][0] == '-'; at++) {
        if (!strcmp(words[at], "-l")) {
            rule(SYS_link, 0, 0, 0, EPERM);
            rule(SYS_linkat, 0, 0, 0, EPERM);
        } else if (!strcmp(words[at], "-s")) {
            rule(CALL_lseek, WHENCE, ~0u, 3, EINVAL);
            rule(CALL_lseek, WHENCE, ~0u, 4, EINVAL);
        } else {
            break;
        }
    }
    if (at >= count || words[at][0] == '-') return fprintf(stderr, "launcher [-l] [-s] PROGRAM [ARGUMENT...]\n"), 2;
    say(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return perror("launcher: can't install the filter"), 2;
    if (!is_missing(SYS_getrandom) || !has_no_long_times() || open("/", O_RDWR | 0x400000 | O_DIRECTORY, 0600) != -1 || errno != EISDIR)
        return fprintf(stderr, "launcher: the filter is not heeded\n"), 2;
    execvp(words[at], words + at);
    return perror(words[at]), 127;
}
