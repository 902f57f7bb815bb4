/* Counting float32 numbers by their top bits: the inner loops of the sketch, compiled.

   It is optional. Where no compiler was at hand when the package was built, host.py and counting.py find the same
   counts; _counting.pyi says what the function takes and gives. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BINS 4096      /* by the top 12 bits: the sign, the exponent, three bits of the mantissa */
#define HALF 2048      /* the first bin of the negative numbers */
#define OCTAVE 8       /* bins in an octave; the first, for each sign, is that of zero and the denormals */
#define NONFINITE 2040 /* the first bin, for each sign, of infinity and NaN */
#define CHUNK 262144   /* numbers that a thread takes at once; they are the same however many threads there are */
#define BLOCK 4096     /* numbers that stay in the first cache for all loops over them */
#define SMALL 16384    /* so few that more tables, or other threads, are not worth their price */

#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

#if defined(__linux__)
#include <dlfcn.h>
#define TAKE(counter, n) __atomic_fetch_add(&(counter), n, __ATOMIC_RELAXED)
#else
#define TAKE(counter, n) (((counter) += (n)) - (n))
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
    for (int j = 0; j < 16; j++) lanes.low[j] = (float)Py_HUGE_VAL, lanes.high[j] = (float)-Py_HUGE_VAL;
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

typedef struct {
    const float *x;
    size_t size, first_chunk, found;
    uint32_t *table; /* of several chunks together; one chunk needs none */
    uint32_t zeros;
    int rare;
    int32_t *bins;
    int64_t *counts;
} Tensor;

typedef struct {
    Tensor *tensors;
    Totals *totals; /* of each chunk */
    size_t *owners; /* of each chunk, its tensor */
    size_t chunks, next;
    int first_bin;
} Work;

static void finish(Tensor *tensor, const uint32_t *table, int first_bin) {
    tensor->rare = is_rare(table, tensor->zeros);
    tensor->found = tensor->rare ? 0 : occupied(table, first_bin, tensor->bins, tensor->counts);
}

/* Several threads do this side by side: each takes the next chunk as it gets free. */
static void work(void *argument) {
    Work *w = argument;
    uint32_t tables[4][BINS];
    for (size_t at; (at = TAKE(w->next, 1)) < w->chunks;) {
        Tensor *tensor = w->tensors + w->owners[at];
        size_t start = (at - tensor->first_chunk) * CHUNK, left = tensor->size - start;
        size_t size = left < CHUNK ? left : CHUNK;
        w->totals[at] = pass(tensor->x + start, size, tables);
        if (tiny_of(tables[0])) TAKE(tensor->zeros, zeros_of(tensor->x + start, size));
        if (!tensor->table) {
            finish(tensor, tables[0], w->first_bin);
        } else {
            for (int b = 0; b < BINS; b++)
                if (tables[0][b]) TAKE(tensor->table[b], tables[0][b]);
        }
    }
}

/* In the threads of the OpenMP that torch has loaded: they wait for work already, and others would wait for them. */
static void in_threads(Work *w, unsigned threads) {
#if defined(__linux__)
    typedef void Parallel(void (*)(void *), void *, unsigned, unsigned);
    Parallel *parallel = threads > 1 ? (Parallel *)dlsym(RTLD_DEFAULT, "GOMP_parallel") : NULL;
    if (parallel) parallel(work, w, threads, 0);
#endif
    work(w); /* all of it where there are no threads, else nothing is left */
}

static PyObject *line_of(const Work *w, const Tensor *tensor, Py_ssize_t end) {
    if (tensor->rare) Py_RETURN_NONE;
    size_t past = tensor->first_chunk + (tensor->size + CHUNK - 1) / CHUNK;
    Totals t = w->totals[tensor->first_chunk];
    for (size_t at = tensor->first_chunk + 1; at < past; at++) {
        t.low = w->totals[at].low < t.low ? w->totals[at].low : t.low;
        t.high = w->totals[at].high > t.high ? w->totals[at].high : t.high;
        t.sum += w->totals[at].sum;
        t.squares += w->totals[at].squares;
    }
    return Py_BuildValue("ndddd", end, t.low, t.high, t.sum, t.squares);
}

/* What was found, put side by side. */
static PyObject *packed(const Work *w, Py_ssize_t length, int32_t *bins, int64_t *counts) {
    PyObject *lines = PyList_New(length);
    Py_ssize_t end = 0;
    for (Py_ssize_t i = 0; lines && i < length; i++) {
        const Tensor *tensor = w->tensors + i;
        memmove(bins + end, tensor->bins, tensor->found * sizeof *bins);
        memmove(counts + end, tensor->counts, tensor->found * sizeof *counts);
        end += (Py_ssize_t)tensor->found;
        PyObject *line = line_of(w, tensor, end);
        if (!line || PyList_SetItem(lines, i, line)) Py_CLEAR(lines);
    }
    return lines ? Py_BuildValue("Ny#y#", lines, bins, end * sizeof *bins, counts, end * sizeof *counts) : NULL;
}

static int read_tensors(PyObject *addresses, PyObject *sizes, Py_ssize_t length, Tensor *tensors) {
    for (Py_ssize_t i = 0; i < length; i++) {
        tensors[i].x = (const float *)(uintptr_t)PyLong_AsUnsignedLongLong(PyList_GetItem(addresses, i));
        tensors[i].size = PyLong_AsSize_t(PyList_GetItem(sizes, i));
        if (PyErr_Occurred()) return 0;
    }
    return 1;
}

static PyObject *sketch_all(Tensor *tensors, Py_ssize_t length, int first_bin, unsigned threads) {
    size_t chunks = 0, cells = 0, shared = 0, total = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        size_t size = tensors[i].size;
        tensors[i].first_chunk = chunks;
        chunks += (size + CHUNK - 1) / CHUNK;
        cells += size < BINS ? size : BINS;
        shared += size > CHUNK;
        total += size;
    }
    PyObject *found = NULL;
    Totals *totals = malloc((chunks + 1) * sizeof *totals);
    size_t *owners = malloc((chunks + 1) * sizeof *owners);
    int32_t *bins = malloc((cells + 1) * sizeof *bins);
    int64_t *counts = malloc((cells + 1) * sizeof *counts);
    uint32_t *tables = calloc(shared + 1, sizeof(uint32_t[BINS]));
    if (totals && owners && bins && counts && tables) {
        Work w = {tensors, totals, owners, chunks, 0, first_bin};
        cells = shared = 0;
        for (Py_ssize_t i = 0; i < length; i++) {
            Tensor *tensor = tensors + i;
            size_t past = i + 1 < length ? tensor[1].first_chunk : chunks;
            for (size_t at = tensor->first_chunk; at < past; at++) owners[at] = (size_t)i;
            tensor->bins = bins + cells;
            tensor->counts = counts + cells;
            cells += tensor->size < BINS ? tensor->size : BINS;
            if (tensor->size > CHUNK) tensor->table = tables + BINS * shared++;
        }
        if (total < SMALL) {
            work(&w);
        } else {
            Py_BEGIN_ALLOW_THREADS
            in_threads(&w, threads);
            Py_END_ALLOW_THREADS
        }
        for (Py_ssize_t i = 0; i < length; i++)
            if (tensors[i].table) finish(tensors + i, tensors[i].table, first_bin);
        found = packed(&w, length, bins, counts);
    } else {
        PyErr_NoMemory();
    }
    free(totals), free(owners), free(bins), free(counts), free(tables);
    return found;
}

static PyObject *sketch(PyObject *module, PyObject *args) {
    PyObject *addresses, *sizes, *found = NULL;
    int first_bin;
    unsigned threads;
    if (!PyArg_ParseTuple(args, "OOiI", &addresses, &sizes, &first_bin, &threads)) return NULL;
    Py_ssize_t length = PyList_Size(addresses);
    if (length < 0 || length != PyList_Size(sizes)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected as many addresses as sizes");
        return NULL;
    }
    Tensor *tensors = calloc((size_t)length + 1, sizeof *tensors);
    if (!tensors) return PyErr_NoMemory();
    if (read_tensors(addresses, sizes, length, tensors)) found = sketch_all(tensors, length, first_bin, threads);
    free(tensors);
    return found;
}

static PyMethodDef methods[] = {
    {"sketch", sketch, METH_VARARGS, "Cells and totals of tensors; _counting.pyi tells more."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_counting", "Loops over float32 numbers.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__counting(void) { return PyModule_Create(&definition); }
