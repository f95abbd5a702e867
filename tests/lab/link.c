/* A link that can be made bad: frames go from one interface to another later, or not at all.
 *
 *     link INSIDE OUTSIDE [INSIDE OUTSIDE ...]
 *
 * Each pair is a wire with two ways: 0 leads from the first INSIDE to the first OUTSIDE, 1 back, 2 and
 * 3 belong to the second pair. A frame passes
 *
 *     cut? -> too long? -> a queue in front of a line of some rate -> lost? -> delay -> out
 *
 * Commands come on standard input, a line each, and are answered by a line each:
 *
 *     set WAY KEY=NUMBER ...   delay, jitter (ns); rate (bits/s; 0: no limit); queue (bytes; 0: what
 *                              the rate carries in 100 ms); loss, reorder (0 to 1); mtu (bytes of
 *                              IP; 0: any); cut (0 or 1); seed
 *     show WAY                 counters since the start: came left lost full large cut failed
 *
 * The end of standard input ends the program: it does not outlive whoever started it.
 *
 * A frame counts from when the kernel took it in, so a late wake-up adds nothing to its delay. While
 * there is traffic the program wakes up once a SLOT and takes frames in groups, which costs little;
 * a quiet link is exact. Frames must come as they are to leave, so segmentation in the sending
 * interfaces has to be off: the counter "large" tells if it is not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define SECOND 1000000000ull /* ns */
#define SLOT 200000ull       /* ns; 5,000 wake-ups a second cost some percent of a core */
#define LOOK 10000000ull     /* ns; how often to see whether there is traffic: */
#define TRAFFIC 50           /* frames in that time */
#define MAX_WAYS 8
#define GROUP 64             /* frames a system call */
#define LONGEST 9216         /* bytes; jumbo frames */
#define ETHERNET 14          /* bytes of the header */
#define LEAST_QUEUE 3028     /* bytes; two frames: less would pass nothing */
#define MAX_HELD (1u << 18)  /* frames under way; 3 s at 1 Gbit/s */
#define BUFFER (16 << 20)    /* bytes of socket buffer */

struct frame { uint64_t due, number; unsigned char *bytes; size_t length; }; /* due: ns */

struct way {
    int in, out;
    double rate, queue, loss, reorder, mtu, delay, jitter, cut; /* settings */
    uint64_t came, left, lost, full, large, stopped, failed;    /* counters */
    uint64_t random, idle_at, last_due, numbers; /* idle_at: when the line has sent what it has */
    struct frame *heap; /* heap[0] leaves first */
    size_t held, room;
};

static struct way ways[MAX_WAYS];
static int way_count;
static uint64_t looked; /* ns; when it was seen last whether there is traffic */
static void fail(const char *what) { perror(what); exit(1); }

static uint64_t in_ns(struct timespec at) { return (uint64_t)at.tv_sec * SECOND + (uint64_t)at.tv_nsec; }
static uint64_t read_clock(clockid_t clock) { struct timespec at; clock_gettime(clock, &at); return in_ns(at); }

/* xorshift64*: [0, 1), the same from the same seed. */
static double draw(struct way *way) {
    way->random ^= way->random >> 12, way->random ^= way->random << 25, way->random ^= way->random >> 27;
    return (double)(way->random * 2685821657736338717ull >> 11) / 9007199254740992.0;
}

static int open_interface(const char *name) {
    int on = 1, size = BUFFER, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};
    address.sll_ifindex = all.mr_ifindex = (int)if_nametoindex(name);
    if (fd < 0 || !address.sll_ifindex) fail(name);
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on)
        || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on)
        || setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all)
        || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on)
        || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)
        || setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size)
        || bind(fd, (struct sockaddr *)&address, sizeof address)) fail(name);
    return fd;
}

static int before(const struct frame *one, const struct frame *other) {
    return one->due != other->due ? one->due < other->due : one->number < other->number;
}
static void push(struct way *way, struct frame frame) {
    if (way->held == way->room)
        way->heap = realloc(way->heap, (way->room = way->room ? 2 * way->room : 1024) * sizeof frame);
    if (!way->heap) fail("memory");
    size_t at = way->held++;
    for (; at && before(&frame, &way->heap[(at - 1) / 2]); at = (at - 1) / 2)
        way->heap[at] = way->heap[(at - 1) / 2];
    way->heap[at] = frame;
}
static struct frame pop(struct way *way) {
    struct frame first = way->heap[0], last = way->heap[--way->held];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < way->held) {
        if (child + 1 < way->held && before(&way->heap[child + 1], &way->heap[child])) child++;
        if (!before(&way->heap[child], &last)) break;
        way->heap[at] = way->heap[child];
        at = child;
    }
    if (way->held) way->heap[at] = last;
    return first;
}
/* What happens to one frame, decided when it comes. */
static void take(struct way *way, const unsigned char *bytes, size_t length, uint64_t now) {
    uint64_t due = now;
    way->came++;
    if (way->cut) { way->stopped++; return; }
    if (length > LONGEST || (way->mtu && length > way->mtu + ETHERNET)) { way->large++; return; }
    if (way->rate) {
        double most = way->queue ? way->queue : way->rate / 8 / 10;
        if (most < LEAST_QUEUE) most = LEAST_QUEUE;
        if (way->idle_at < now) way->idle_at = now;
        double waiting = (double)(way->idle_at - now) * way->rate / 8 / SECOND;
        if (waiting + (double)length > most) { way->full++; return; }
        due = way->idle_at += (uint64_t)((double)length * 8 * SECOND / way->rate);
    }
    if (way->loss && draw(way) < way->loss) { way->lost++; return; } /* it took its time on the line */
    if (way->held == MAX_HELD) { way->full++; return; }
    if (!way->reorder || draw(way) >= way->reorder) { /* others overtake: as netem does it */
        due += (uint64_t)way->delay;
        if (way->jitter) due += (uint64_t)(draw(way) * way->jitter);
        if (due < way->last_due) due = way->last_due;
        way->last_due = due;
    }
    struct frame frame = {due, way->numbers++, malloc(length), length};
    if (!frame.bytes) fail("memory");
    memcpy(frame.bytes, bytes, length);
    push(way, frame);
}
/* The kernel's time stamp (wall clock) as monotonic time. */
static uint64_t taken_at(struct msghdr *message, uint64_t now, uint64_t wall) {
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    struct timespec stamp;
    if (!control || control->cmsg_type != SCM_TIMESTAMPNS) return now;
    memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
    uint64_t late = wall - in_ns(stamp);
    return late < SECOND ? now - late : now; /* the wall clock may have been set */
}

static int take_in(struct way *way) {
    static unsigned char bytes[GROUP][LONGEST + 1]; /* one more: to see that it is too long */
    static _Alignas(struct cmsghdr) char stamps[GROUP][CMSG_SPACE(sizeof(struct timespec))];
    struct mmsghdr messages[GROUP] = {0};
    struct iovec parts[GROUP];
    for (int i = 0; i < GROUP; i++) {
        parts[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        messages[i].msg_hdr = (struct msghdr){NULL, 0, &parts[i], 1, stamps[i], sizeof stamps[i], 0};
    }
    int count = recvmmsg(way->in, messages, GROUP, 0, NULL);
    uint64_t now = read_clock(CLOCK_MONOTONIC), wall = read_clock(CLOCK_REALTIME);
    for (int i = 0; i < count; i++)
        take(way, bytes[i], messages[i].msg_len, taken_at(&messages[i].msg_hdr, now, wall));
    return count > 0 ? count : 0;
}

static int let_out(struct way *way) {
    struct mmsghdr messages[GROUP] = {0};
    struct iovec parts[GROUP];
    uint64_t now = read_clock(CLOCK_MONOTONIC);
    int count = 0;
    while (count < GROUP && way->held && way->heap[0].due <= now) {
        struct frame frame = pop(way);
        parts[count] = (struct iovec){frame.bytes, frame.length};
        messages[count].msg_hdr = (struct msghdr){NULL, 0, &parts[count], 1, NULL, 0, 0};
        count++;
    }
    if (way->cut) way->stopped += (uint64_t)count; /* what is under way is lost too */
    for (int done = 0; done < count && !way->cut;) {
        int sent = sendmmsg(way->out, messages + done, (unsigned)(count - done), 0);
        if (sent > 0) way->left += (uint64_t)sent; else way->failed++;
        done += sent > 0 ? sent : 1;
    }
    for (int i = 0; i < count; i++) free(parts[i].iov_base);
    return count;
}

static int set(struct way *way, const char *key, double value) {
    static const char *names[] = {"delay", "jitter", "rate", "queue", "loss", "reorder", "mtu", "cut"};
    double *places[] = {&way->delay, &way->jitter, &way->rate, &way->queue,
        &way->loss, &way->reorder, &way->mtu, &way->cut};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strcmp(key, names[i])) return *places[i] = value, 1;
    if (strcmp(key, "seed")) return 0;
    way->random = (uint64_t)(value + 1) * 0x9E3779B97F4A7C15ull | 1; /* never 0, and well mixed */
    for (int i = 0; i < 8; i++) draw(way);
    return 1;
}

static void obey(char *line) {
    char *verb = strtok(line, " \n"), *name = strtok(NULL, " \n"), *pair, *equals;
    int number = name ? atoi(name) : -1;
    if (!verb || number < 0 || number >= way_count) { puts("error"); return; }
    struct way *way = &ways[number];
    int good = 1, shown = !strcmp(verb, "show");
    if (shown) printf("%lu %lu %lu %lu %lu %lu %lu\n", way->came, way->left, way->lost, way->full,
        way->large, way->stopped, way->failed);
    while (good && (pair = strtok(NULL, " \n")))
        good = (equals = strchr(pair, '=')) && (*equals = 0, set(way, pair, atof(equals + 1)));
    if (!shown) puts(good ? "ok" : "error");
}

int main(int argc, char **argv) {
    char line[1024];
    struct pollfd fds[MAX_WAYS + 1] = {{STDIN_FILENO, POLLIN, 0}};
    struct sched_param soon = {.sched_priority = 1};
    if (argc < 3 || argc % 2 == 0 || argc > MAX_WAYS + 1) return 2;
    for (int i = 1; i < argc; i += 2, way_count += 2) {
        int inside = open_interface(argv[i]), outside = open_interface(argv[i + 1]);
        ways[way_count] = (struct way){.in = inside, .out = outside, .random = (unsigned)i};
        ways[way_count + 1] = (struct way){.in = outside, .out = inside, .random = (unsigned)i + 1};
        fds[i] = (struct pollfd){inside, POLLIN, 0};
        fds[i + 1] = (struct pollfd){outside, POLLIN, 0};
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* poll sees what is left */
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_TIMERSLACK, 1ul);
    sched_setscheduler(0, SCHED_FIFO, &soon); /* in time also when both ends take every core */
    puts("ready");
    for (int moved = 0, busy = 0;;) {
        uint64_t next = UINT64_MAX, now = read_clock(CLOCK_MONOTONIC);
        if (now - looked > LOOK) busy = moved > TRAFFIC, moved = 0, looked = now;
        for (int i = 0; i < way_count; i++) moved += take_in(&ways[i]);
        for (int i = 0; i < way_count; i++) {
            moved += let_out(&ways[i]);
            if (ways[i].held && ways[i].heap[0].due < next) next = ways[i].heap[0].due;
        }
        now = read_clock(CLOCK_MONOTONIC);
        uint64_t left = busy ? SLOT : next > now ? next - now : 0;
        struct timespec time = {(time_t)(left / SECOND), (long)(left % SECOND)};
        /* In traffic only commands are waited for: frames gather meanwhile. */
        nfds_t count = busy ? 1 : (nfds_t)way_count + 1;
        if (ppoll(fds, count, next == UINT64_MAX && !busy ? NULL : &time, NULL) < 0) continue;
        if (fds[0].revents && !fgets(line, sizeof line, stdin)) return 0;
        if (fds[0].revents) obey(line);
    }
}
