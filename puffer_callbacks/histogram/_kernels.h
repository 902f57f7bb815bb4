/* Loops over float32 numbers: what one thread counts in one chunk. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define SHIFT 20             /* a bin is the top 12 bits: sign, exponent, three bits of the mantissa */
#define BINS 4096            /* Float32Counter.bins in Python */
#define FIRST_NEGATIVE 2048  /* the first bin of the negative numbers */
#define PER_OCTAVE 8         /* the first octave of each sign holds zero and the denormals */
#define FIRST_NONFINITE 2040 /* the first bin of each sign that holds infinity and NaN */
#define FIRST_BIN 7577       /* FIRST_BIN_OF_FLOAT32 in Python: what makes top bits a bin of Histogram */
#define CHUNK 262144         /* the most numbers that a thread counts at once */
#define STEP 64              /* numbers whose counts and totals a processor sees at once */
#define LINE 16              /* numbers in a line of the cache */
#define AHEAD 16384          /* bytes from a number to those that are fetched meanwhile */
#define SMALL 16384          /* fewer numbers are worth neither four tables nor other threads */
#define LANES 16
#define TABLE (BINS + 272)   /* with a gap, because processors at first take addresses 4096 bytes apart for the same */

_Static_assert(sizeof(float) == 4 && FLT_MANT_DIG == 24 && FLT_MAX_EXP == 128, "float is IEEE 754 binary32");
_Static_assert(sizeof(double) == 8 && DBL_MANT_DIG == 53, "double is IEEE 754 binary64");
_Static_assert(BINS == 1 << (32 - SHIFT) && PER_OCTAVE == 1 << (FLT_MANT_DIG - 1 - SHIFT), "bins are top bits");
_Static_assert(FIRST_NEGATIVE == BINS / 2 && FIRST_NONFINITE == FIRST_NEGATIVE - PER_OCTAVE, "the sign is the top bit");
_Static_assert(FIRST_BIN == 1 + PER_OCTAVE * (1074 - 127), "bins of Histogram begin at 2**-1074, float32 at 2**-127");
_Static_assert(SMALL <= CHUNK && CHUNK % STEP == 0 && STEP % LANES == 0, "only the last chunk has a rest");

#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

typedef struct {
    double low, high, sum, squares;
} Totals;

typedef struct {
    float low[LANES], high[LANES];
    double sum[LANES / 2], squares[LANES / 2];
} Lanes;

static uint32_t top_bits(const float *x) {
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    return bits >> SHIFT;
}

/* Asks for numbers to come, as processors by themselves look ahead only to the end of a page of memory. This reads
   nothing, so it may point past the end of the array. */
static void look_ahead(const float *x) {
#if defined(__GNUC__)
    for (int k = 0; k < STEP; k += LINE) __builtin_prefetch((const void *)((uintptr_t)(x + k) + AHEAD));
#else
    (void)x;
#endif
}

/* Counts and totals in one loop, a few numbers at a time: a processor stores about one increment in a cycle, and
   computes the vectors of the totals meanwhile.

   Four tables, because where equal numbers follow each other an increment would wait for the one before. Separate
   lanes let the compiler use vectors without reordering additions, so that every processor computes the same digits:
   even where it multiplies and adds at once, as the square of a float is exact in float64. Comparisons with NaN are
   false: minimum and maximum are those of the other numbers. */
FOR_EACH_PROCESSOR static void add_steps(const float *x, size_t steps, uint32_t *a, uint32_t *b, uint32_t *c,
                                         uint32_t *d, float *restrict low, float *restrict high, double *restrict sum,
                                         double *restrict squares) {
    for (; steps; steps--, x += STEP) {
        look_ahead(x);
        for (int k = 0; k < STEP; k += 4) {
            a[top_bits(x + k)]++;
            b[top_bits(x + k + 1)]++;
            c[top_bits(x + k + 2)]++;
            d[top_bits(x + k + 3)]++;
        }
        for (int k = 0; k < STEP; k += LANES) {
#pragma GCC unroll 1
            for (int j = 0; j < LANES; j++) {
                low[j] = x[k + j] < low[j] ? x[k + j] : low[j];
                high[j] = x[k + j] > high[j] ? x[k + j] : high[j];
            }
        }
        for (int k = 0; k < STEP; k += LANES / 2) {
#pragma GCC unroll 1
            for (int j = 0; j < LANES / 2; j++) {
                double value = x[k + j];
                sum[j] += value;
                squares[j] += value * value;
            }
        }
    }
}

/* The numbers after the last step: those beyond the last full lanes are added to the first lane. */
static void add_rest(const float *x, size_t n, uint32_t *table, Lanes *lanes) {
    const size_t full = n - n % (LANES / 2);
    for (size_t i = 0; i < n; i++) {
        const size_t j = i < full ? i % (LANES / 2) : 0;
        const double value = x[i];
        table[top_bits(x + i)]++;
        lanes->low[j] = x[i] < lanes->low[j] ? x[i] : lanes->low[j];
        lanes->high[j] = x[i] > lanes->high[j] ? x[i] : lanes->high[j];
        lanes->sum[j] += value;
        lanes->squares[j] += value * value;
    }
}

static Totals totals_of(const Lanes *lanes) {
    Totals totals = {lanes->low[0], lanes->high[0], lanes->sum[0], lanes->squares[0]};
    for (int j = 1; j < LANES; j++) {
        totals.low = lanes->low[j] < totals.low ? lanes->low[j] : totals.low;
        totals.high = lanes->high[j] > totals.high ? lanes->high[j] : totals.high;
    }
    for (int j = 1; j < LANES / 2; j++) totals.sum += lanes->sum[j], totals.squares += lanes->squares[j];
    return totals;
}

/* Counts a chunk into the first table; the others are scratch. */
static Totals count_chunk(const float *x, size_t n, uint32_t tables[4][TABLE]) {
    const int used = n < SMALL ? 1 : 4;
    const size_t steps = n / STEP;
    Lanes lanes = {0};
    for (int j = 0; j < LANES; j++) lanes.low[j] = INFINITY, lanes.high[j] = -INFINITY;
    memset(tables, 0, (size_t)used * sizeof *tables);
    add_steps(x, steps, tables[0], tables[1 % used], tables[2 % used], tables[3 % used], lanes.low, lanes.high,
              lanes.sum, lanes.squares);
    add_rest(x + steps * STEP, n % STEP, tables[0], &lanes);
    for (int b = 0; used > 1 && b < BINS; b++) tables[0][b] += tables[1][b] + tables[2][b] + tables[3][b];
    return totals_of(&lanes);
}

static uint32_t zero_or_denormal(const uint32_t *table) {
    uint32_t count = 0;
    for (int b = 0; b < PER_OCTAVE; b++) count += table[b] + table[FIRST_NEGATIVE + b];
    return count;
}

FOR_EACH_PROCESSOR static uint32_t count_zeros(const float *x, size_t n) {
    uint32_t zeros = 0;
    for (size_t i = 0; i < n; i++) zeros += x[i] == 0;
    return zeros;
}

/* Whether there are numbers that only Float64Counter counts right: NaN, infinities, and denormals, whose bits hold
   no exponent. */
static int needs_float64(const uint32_t *table, uint32_t zeros) {
    for (int b = FIRST_NONFINITE; b < FIRST_NEGATIVE; b++)
        if (table[b] || table[FIRST_NEGATIVE + b]) return 1;
    return zero_or_denormal(table) != zeros;
}

static int is_empty(const uint32_t *octave) {
    uint32_t any = 0;
    for (int k = 0; k < PER_OCTAVE; k++) any |= octave[k];
    return !any;
}

/* The bins that are not empty, in the order of their values; all zeros are in one bin. */
static size_t filled_bins(const uint32_t *table, int32_t *bins, int64_t *counts) {
    size_t found = 0;
    for (int at = BINS - PER_OCTAVE; at > FIRST_NEGATIVE; at -= PER_OCTAVE) {
        if (is_empty(table + at)) continue;
        for (int b = at + PER_OCTAVE - 1; b >= at; b--)
            if (table[b]) bins[found] = FIRST_NEGATIVE - b - FIRST_BIN, counts[found++] = table[b];
    }
    if (zero_or_denormal(table)) bins[found] = 0, counts[found++] = zero_or_denormal(table);
    for (int at = PER_OCTAVE; at < FIRST_NEGATIVE; at += PER_OCTAVE) {
        if (is_empty(table + at)) continue;
        for (int b = at; b < at + PER_OCTAVE; b++)
            if (table[b]) bins[found] = FIRST_BIN + b, counts[found++] = table[b];
    }
    return found;
}
