/* The counting core once more, written in C as a C programmer would: the yardstick of bench_counting.py, and nothing else.
 *
 * Same rules and same results as firmware/lib/footfall_core/beam.py, other means: time is UTC in 64 bits and never needs
 * to be set back, a passage goes straight into the bucket under way, and one call does it all.
 */

#include <stddef.h>
#include <stdint.h>

enum { OUTER = 1, INNER = 2 };
enum { WENT_IN = 1, WENT_OUT = 2, PASSED = 4 };
enum { HOLD_MS = 150, ARM_LAG_MS = 25 };
enum {
    CLEAR, IN_FIRST, IN_BOTH, IN_LAST, IN_AGAIN, IN_DOUBT,
    OUT_FIRST, OUT_BOTH, OUT_LAST, OUT_AGAIN, OUT_DOUBT, TOGETHER, UNKNOWN, IN_THIN, OUT_THIN
};
enum { ENTERED = 0x10, AGAIN = 0x20, DOUBT = 0x30, FOLLOWED = 0x40, FOLLOWED_THIN = 0x50, DONE = 0x60, BACK = 0x70 };

#define NEVER INT64_MAX
#define LONG_AGO (INT64_MIN / 4)

static const uint8_t NEXT[15][4] = {
    [CLEAR] = {CLEAR, IN_FIRST, OUT_FIRST, TOGETHER},
    [IN_FIRST] = {BACK | CLEAR, IN_FIRST, IN_THIN, ENTERED | IN_BOTH},
    [IN_BOTH] = {DONE | CLEAR, IN_FIRST, IN_LAST, IN_BOTH},
    [IN_LAST] = {DONE | CLEAR, DOUBT | IN_DOUBT, IN_LAST, AGAIN | IN_AGAIN},
    [IN_AGAIN] = {DONE | CLEAR, DOUBT | IN_DOUBT, IN_LAST, IN_AGAIN},
    [IN_DOUBT] = {CLEAR, IN_DOUBT, FOLLOWED_THIN | OUT_FIRST, FOLLOWED | IN_BOTH},
    [OUT_FIRST] = {BACK | CLEAR, OUT_THIN, OUT_FIRST, ENTERED | OUT_BOTH},
    [OUT_BOTH] = {DONE | CLEAR, OUT_LAST, OUT_FIRST, OUT_BOTH},
    [OUT_LAST] = {DONE | CLEAR, OUT_LAST, DOUBT | OUT_DOUBT, AGAIN | OUT_AGAIN},
    [OUT_AGAIN] = {DONE | CLEAR, OUT_LAST, DOUBT | OUT_DOUBT, OUT_AGAIN},
    [OUT_DOUBT] = {CLEAR, FOLLOWED_THIN | IN_FIRST, OUT_DOUBT, FOLLOWED | OUT_BOTH},
    [TOGETHER] = {CLEAR, OUT_LAST, IN_LAST, TOGETHER},
    [UNKNOWN] = {CLEAR, UNKNOWN, UNKNOWN, UNKNOWN},
    [IN_THIN] = {DONE | CLEAR, IN_FIRST, IN_THIN, ENTERED | IN_BOTH},
    [OUT_THIN] = {DONE | CLEAR, OUT_THIN, OUT_FIRST, ENTERED | OUT_BOTH},
};

struct settings {
    int32_t beams, glitch_ms, min_block_ms, blocked_after_ms;
    int64_t width_ms;
};

struct bucket {
    int64_t start_ms;
    int32_t sensor, in, out, passed, faults;
};

struct buckets {
    struct bucket *at; /* the one under way */
    int64_t end_ms;
    int open;
};

static inline struct bucket *bucket_of(struct buckets *b, const struct settings *s, int32_t sensor, int64_t t)
{
    if (!b->open || t >= b->end_ms || t < b->at->start_ms || b->at->sensor != sensor) {
        if (b->open)
            b->at++;
        b->open = 1;
        *b->at = (struct bucket){.start_ms = t - t % s->width_ms, .sensor = sensor};
        b->end_ms = b->at->start_ms + s->width_ms;
    }
    return b->at;
}

static inline void passage(struct buckets *b, const struct settings *s, int32_t sensor, int64_t t, int way)
{
    struct bucket *one = bucket_of(b, s, sensor, t);
    one->in += way == WENT_IN;
    one->out += way == WENT_OUT;
    one->passed += way == PASSED;
}

struct barrier {
    int64_t raw_since, outer_since, inner_since, first_since, outer_block, inner_block, lag;
    int64_t entry_clear_since, last_clear_since, passed_at, passed_lag, passed_block, due;
    int32_t raw, settled, faulted, place, held, passed, came_by, turned;
    int32_t sensor;
};

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static inline void report_held(struct barrier *b, const struct settings *s, struct buckets *out)
{
    passage(out, s, b->sensor, b->passed_at, b->held);
    b->held = 0;
}

static inline void begin(struct barrier *b, int64_t t)
{
    b->first_since = t;
    b->outer_block = b->inner_block = b->lag = 0;
}

static inline void enter(struct barrier *b, const struct settings *s, struct buckets *out, int way, int64_t t)
{
    b->lag = t > b->first_since ? t - b->first_since : 1;
    if (b->held &&
        !(b->passed == way && b->first_since - b->passed_at <= HOLD_MS &&
          (b->passed_block * 5 < b->lag * 6 || (b->passed_lag < ARM_LAG_MS && b->passed_lag * 2 <= b->lag))))
        report_held(b, s, out);
}

static inline void pass(struct barrier *b, const struct settings *s, int way, int64_t t)
{
    int64_t block = min64(b->outer_block, b->inner_block);
    if (block < s->min_block_ms)
        return;
    if (!b->held && b->passed == way && b->first_since - b->passed_at <= HOLD_MS && block * 5 < b->passed_lag * 6)
        return;
    b->came_by = 0;
    b->held = b->passed = way;
    b->passed_at = t;
    b->passed_lag = b->lag;
    b->passed_block = block;
}

static void mean(struct barrier *b, const struct settings *s, struct buckets *out, int what, int place, int64_t t)
{
    int inwards = place < OUT_FIRST || place == IN_THIN;
    int way = inwards ? WENT_IN : WENT_OUT;
    int64_t entered, left;

    switch (what) {
    case DONE:
        if (place < IN_THIN || b->lag > 0)
            pass(b, s, way, t);
        break;
    case ENTERED:
        if (place >= IN_THIN && b->lag > 0) {
            inwards = !inwards;
            way = inwards ? WENT_IN : WENT_OUT;
            b->place = inwards ? IN_BOTH : OUT_BOTH;
            begin(b, inwards ? b->outer_since : b->inner_since);
        }
        if (b->lag == 0)
            enter(b, s, out, way, t);
        break;
    case AGAIN:
        if ((t - b->entry_clear_since) * 5 < b->lag * 2)
            b->place = inwards ? IN_BOTH : OUT_BOTH;
        break;
    case DOUBT:
        b->last_clear_since = t;
        break;
    case BACK:
        if (s->beams == 1 && b->outer_block >= s->min_block_ms)
            passage(out, s, b->sensor, t, PASSED);
        if (b->lag > 0) {
            int other = inwards ? INNER : OUTER;
            if (b->came_by == other)
                pass(b, s, inwards ? WENT_OUT : WENT_IN, t);
            else
                b->turned = other;
        }
        break;
    default:
        entered = inwards ? b->outer_block : b->inner_block;
        left = inwards ? b->inner_block : b->outer_block;
        if (left <= entered + entered / 2 + 60)
            pass(b, s, way, b->last_clear_since);
        if (what == FOLLOWED) {
            begin(b, inwards ? b->outer_since : b->inner_since);
            enter(b, s, out, way, t);
        } else {
            begin(b, t);
        }
    }
}

static inline void set_due(struct barrier *b, const struct settings *s)
{
    int open = b->settled & ~b->faulted;
    int64_t due = b->held && b->place == CLEAR ? b->passed_at + HOLD_MS : NEVER;
    if (open & OUTER)
        due = min64(due, b->outer_since + s->blocked_after_ms);
    if (open & INNER)
        due = min64(due, b->inner_since + s->blocked_after_ms);
    b->due = due;
}

static inline void settle(struct barrier *b, const struct settings *s, struct buckets *out)
{
    int64_t t = b->raw_since;
    int state = b->raw, changed = state ^ b->settled, cleared = changed & b->settled, place = b->place, entry;

    b->settled = state;
    if (changed & OUTER) {
        if (state & OUTER)
            b->outer_since = t;
        else if (t - b->outer_since > b->outer_block)
            b->outer_block = t - b->outer_since;
    }
    if (changed & INNER) {
        if (state & INNER)
            b->inner_since = t;
        else if (t - b->inner_since > b->inner_block)
            b->inner_block = t - b->inner_since;
    }
    if (place == CLEAR) {
        if (b->held && (t - b->passed_at > HOLD_MS || state == (OUTER | INNER)))
            report_held(b, s, out);
        if (state == b->turned && (t - b->last_clear_since) * 5 < b->lag * 2) {
            place = state == INNER ? IN_FIRST : OUT_FIRST;
        } else {
            if (b->came_by == 0 || t - b->last_clear_since > HOLD_MS)
                b->came_by = state;
            begin(b, t);
        }
        b->turned = 0;
    }
    entry = NEXT[place][state];
    b->place = entry & 15;
    if (entry >= 16)
        mean(b, s, out, entry & 0x70, place, t);
    if (place == IN_BOTH || place == OUT_BOTH)
        b->entry_clear_since = t;
    b->faulted &= ~cleared;
    /* When something is due at the earliest; lapse() looks closer */
    if (state == 0) {
        b->last_clear_since = t;
        b->due = b->held ? b->passed_at + HOLD_MS : NEVER;
    } else {
        b->due = min64(b->due, t + s->blocked_after_ms);
    }
}

static void lapse(struct barrier *b, const struct settings *s, struct buckets *out, int64_t now)
{
    int open = b->settled & ~b->faulted;
    int64_t outer_due = open & OUTER ? b->outer_since + s->blocked_after_ms : NEVER;
    int64_t inner_due = open & INNER ? b->inner_since + s->blocked_after_ms : NEVER;

    if (b->held && (min64(outer_due, inner_due) <= now || (b->place == CLEAR && b->passed_at + HOLD_MS <= now)))
        report_held(b, s, out);
    for (int i = 0; i < 2; i++) { /* the earlier one first */
        int outer = (outer_due <= inner_due) == (i == 0);
        int64_t due = outer ? outer_due : inner_due;
        if (due <= now) {
            bucket_of(out, s, b->sensor, due)->faults++;
            b->faulted |= outer ? OUTER : INNER;
            b->place = UNKNOWN;
        }
    }
    set_due(b, s);
}

static inline void step(struct barrier *b, const struct settings *s, struct buckets *out, int64_t now, int state)
{
    if (b->raw != b->settled && now - b->raw_since >= s->glitch_ms)
        settle(b, s, out);
    if (now >= b->due && (b->raw == b->settled || state != b->raw))
        lapse(b, s, out, now);
    if (state != b->raw) {
        b->raw = state;
        b->raw_since = now;
    }
}

/* Columns of n rows to buckets; there is room for one bucket more than there can be. Returns how many there are, or
 * -1 - row for a row that is out of order or has an impossible state. */
ptrdiff_t count_buckets(const int32_t *sensors, const int64_t *t_ms, const uint8_t *states, ptrdiff_t n,
                        const struct settings *settings, struct bucket *out)
{
    const struct settings s = *settings;
    const int mask = s.beams == 1 ? OUTER : OUTER | INNER;
    struct buckets buckets = {.at = out};
    ptrdiff_t row = 0;

    while (row < n) {
        int32_t sensor = sensors[row];
        int64_t now = t_ms[row];
        int state = states[row];
        struct barrier b;

        if (state > 3 || now < 0)
            return -1 - row;
        state &= mask;
        b = (struct barrier){
            .raw_since = now, .outer_since = now, .inner_since = now, .passed_at = LONG_AGO,
            .entry_clear_since = now, .last_clear_since = now, .raw = state, .settled = state,
            .place = state ? UNKNOWN : CLEAR, .due = state ? now + s.blocked_after_ms : NEVER, .sensor = sensor,
        };
        for (row++; row < n && sensors[row] == sensor; row++) {
            if (states[row] > 3 || t_ms[row] < now)
                return -1 - row;
            now = t_ms[row];
            step(&b, &s, &buckets, now, states[row] & mask);
        }
        if (row < n && sensors[row] < sensor)
            return -1 - row;
        step(&b, &s, &buckets, now + s.glitch_ms + HOLD_MS, b.raw);
    }
    return buckets.open ? buckets.at - out + 1 : 0;
}

/* Merely reads every byte: what no engine can be faster than. */
int64_t read_columns(const int32_t *sensors, const int64_t *t_ms, const uint8_t *states, ptrdiff_t n)
{
    int64_t sum = 0;
    for (ptrdiff_t row = 0; row < n; row++)
        sum += sensors[row] ^ t_ms[row] ^ states[row];
    return sum;
}
