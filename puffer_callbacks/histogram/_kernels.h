/* The loops over float32 numbers: what one thread finds in one chunk. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BINS 4096      /* by the top 12 bits: the sign, the exponent, three bits of the mantissa */
#define HALF 2048      /* the first bin of the negative numbers */
#define OCTAVE 8       /* bins in an octave; the first, for each sign, is that of zero and the denormals */
#define NONFINITE 2040 /* the first bin, for each sign, of infinity and NaN */
#define BLOCK 4096     /* numbers that stay in the first cache for all loops over them */
#define SMALL 16384    /* so few that more tables, or other threads, are not worth their price */

#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

typedef struct {
    float low[16], high[16];
    double sum[8], squares[8];
} Lanes;

typedef struct {
    double low, high, sum, squares;
} Totals;

/* Lanes of their own give the compiler vectors without another order of additions, so every processor finds the
   same digits. A NaN is in no comparison: the minimum and the maximum are those of the other numbers. */
FOR_EACH_PROCESSOR static void add_ends(const float *x, size_t n, float *restrict low, float *restrict high) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
#pragma GCC unroll 1
        for (int j = 0; j < 16; j++) {
            low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
            high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
        }
    }
    for (; i < n; i++) {
        low[0] = x[i] < low[0] ? x[i] : low[0];
        high[0] = x[i] > high[0] ? x[i] : high[0];
    }
}

FOR_EACH_PROCESSOR static void add_sums(const float *x, size_t n, double *restrict sum, double *restrict squares) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
#pragma GCC unroll 1
        for (int j = 0; j < 8; j++) {
            double value = x[i + j];
            sum[j] += value;
            squares[j] += value * value;
        }
    }
    for (; i < n; i++) {
        double value = x[i];
        sum[0] += value;
        squares[0] += value * value;
    }
}

/* Into four tables, as an increment would wait for the one before where equal numbers follow each other. */
static void add_counts(const float *x, size_t n, uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d) {
    const uint32_t *bits = (const uint32_t *)x;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        a[bits[i] >> 20]++;
        b[bits[i + 1] >> 20]++;
        c[bits[i + 2] >> 20]++;
        d[bits[i + 3] >> 20]++;
    }
    for (; i < n; i++) a[bits[i] >> 20]++;
}

static Totals pass(const float *x, size_t n, uint32_t tables[4][BINS]) {
    const int used = n < SMALL ? 1 : 4;
    Lanes lanes;
    for (int j = 0; j < 16; j++) lanes.low[j] = INFINITY, lanes.high[j] = -INFINITY;
    for (int j = 0; j < 8; j++) lanes.sum[j] = lanes.squares[j] = 0;
    memset(tables, 0, used * sizeof *tables);
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t size = n - at < BLOCK ? n - at : BLOCK;
        add_counts(x + at, size, tables[0], tables[1 % used], tables[2 % used], tables[3 % used]);
        add_ends(x + at, size, lanes.low, lanes.high);
        add_sums(x + at, size, lanes.sum, lanes.squares);
    }
    for (int k = 1; k < used; k++)
        for (int b = 0; b < BINS; b++) tables[0][b] += tables[k][b];
    Totals totals = {lanes.low[0], lanes.high[0], lanes.sum[0], lanes.squares[0]};
    for (int j = 1; j < 16; j++) {
        totals.low = lanes.low[j] < totals.low ? lanes.low[j] : totals.low;
        totals.high = lanes.high[j] > totals.high ? lanes.high[j] : totals.high;
    }
    for (int j = 1; j < 8; j++) totals.sum += lanes.sum[j], totals.squares += lanes.squares[j];
    return totals;
}

static uint32_t tiny_of(const uint32_t *table) {
    uint32_t tiny = 0;
    for (int b = 0; b < OCTAVE; b++) tiny += table[b] + table[HALF + b];
    return tiny;
}

static uint32_t zeros_of(const float *x, size_t n) {
    uint32_t zeros = 0;
    for (size_t i = 0; i < n; i++) zeros += x[i] == 0;
    return zeros;
}

/* Whether there is what only the slow way counts right: denormals, whose bits have no exponent, and NaN. */
static int is_rare(const uint32_t *table, uint32_t zeros) {
    for (int b = NONFINITE; b < HALF; b++)
        if (table[b] || table[HALF + b]) return 1;
    return tiny_of(table) != zeros;
}

static int is_empty(const uint32_t *octave) {
    uint64_t words[OCTAVE / 2];
    memcpy(words, octave, sizeof words);
    return !(words[0] | words[1] | words[2] | words[3]);
}

/* The bins that hold something, in the order of the values; all zeros are one bin. */
static size_t occupied(const uint32_t *table, int first_bin, int32_t *bins, int64_t *counts) {
    size_t found = 0;
    for (int at = BINS - OCTAVE; at > HALF; at -= OCTAVE) {
        if (is_empty(table + at)) continue;
        for (int b = at + OCTAVE - 1; b >= at; b--)
            if (table[b]) bins[found] = HALF - b - first_bin, counts[found++] = table[b];
    }
    if (tiny_of(table)) bins[found] = 0, counts[found++] = tiny_of(table);
    for (int at = OCTAVE; at < HALF; at += OCTAVE) {
        if (is_empty(table + at)) continue;
        for (int b = at; b < at + OCTAVE; b++)
            if (table[b]) bins[found] = first_bin + b, counts[found++] = table[b];
    }
    return found;
}
