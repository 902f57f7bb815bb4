/* Counting float32 numbers by their top bits: the sketch of many tensors, compiled.

   It is optional. Where no compiler was at hand when the package was built, host.py and counting.py find the same
   counts; _counting.pyi says what the function takes and gives. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "_kernels.h"

#define CHUNK 262144 /* numbers that a thread takes at once; they are the same however many threads there are */

#if defined(__linux__)
#include <dlfcn.h>
#define TAKE(counter, n) __atomic_fetch_add(&(counter), n, __ATOMIC_RELAXED)
#else
#define TAKE(counter, n) (((counter) += (n)) - (n))
#endif

typedef struct {
    const float *x;
    size_t size, first_chunk, first_cell, found;
    uint32_t *table; /* of several chunks together; one chunk needs none */
    uint32_t zeros;
    int rare;
} Tensor;

typedef struct {
    Tensor *tensors;
    size_t length, chunks, cells, tables, numbers; /* how many there are in all */
    Totals *totals;                                /* of each chunk */
    size_t *owners;                                /* of each chunk, its tensor */
    uint32_t *shared;                              /* tables */
    int32_t *bins;                                 /* of the cells: each tensor has room for all it may need */
    int64_t *counts;
    size_t next;
    int first_bin;
} Work;

static size_t chunks_of(size_t size) { return (size + CHUNK - 1) / CHUNK; }

static void finish(Work *w, Tensor *tensor, const uint32_t *table) {
    tensor->rare = is_rare(table, tensor->zeros);
    size_t at = tensor->first_cell;
    tensor->found = tensor->rare ? 0 : occupied(table, w->first_bin, w->bins + at, w->counts + at);
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
            finish(w, tensor, tables[0]);
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
    size_t past = tensor->first_chunk + chunks_of(tensor->size);
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
static PyObject *packed(const Work *w) {
    PyObject *lines = PyList_New((Py_ssize_t)w->length);
    Py_ssize_t end = 0, bin = sizeof *w->bins, count = sizeof *w->counts;
    for (size_t i = 0; lines && i < w->length; i++) {
        const Tensor *tensor = w->tensors + i;
        memmove(w->bins + end, w->bins + tensor->first_cell, tensor->found * sizeof *w->bins);
        memmove(w->counts + end, w->counts + tensor->first_cell, tensor->found * sizeof *w->counts);
        end += (Py_ssize_t)tensor->found;
        PyObject *line = line_of(w, tensor, end);
        if (!line || PyList_SetItem(lines, (Py_ssize_t)i, line)) Py_CLEAR(lines);
    }
    return lines ? Py_BuildValue("Ny#y#", lines, w->bins, end * bin, w->counts, end * count) : NULL;
}

static void add_tensor(Work *w, const float *x, size_t size) {
    w->tensors[w->length++] = (Tensor){.x = x, .size = size, .first_chunk = w->chunks, .first_cell = w->cells};
    w->chunks += chunks_of(size);
    w->cells += size < BINS ? size : BINS;
    w->tables += size > CHUNK;
    w->numbers += size;
}

static int read_tensors(Work *w, PyObject *addresses, PyObject *sizes, Py_ssize_t length) {
    for (Py_ssize_t i = 0; i < length; i++) {
        unsigned long long address = PyLong_AsUnsignedLongLong(PyList_GetItem(addresses, i));
        size_t size = PyLong_AsSize_t(PyList_GetItem(sizes, i));
        if (PyErr_Occurred()) return 0;
        add_tensor(w, (const float *)(uintptr_t)address, size);
    }
    return 1;
}

static int allocate(Work *w) {
    w->totals = malloc((w->chunks + 1) * sizeof *w->totals);
    w->owners = malloc((w->chunks + 1) * sizeof *w->owners);
    w->shared = calloc(w->tables + 1, sizeof(uint32_t[BINS]));
    w->bins = malloc((w->cells + 1) * sizeof *w->bins);
    w->counts = malloc((w->cells + 1) * sizeof *w->counts);
    if (!(w->totals && w->owners && w->shared && w->bins && w->counts)) return PyErr_NoMemory(), 0;
    uint32_t *table = w->shared;
    for (size_t i = 0; i < w->length; i++) {
        Tensor *tensor = w->tensors + i;
        for (size_t at = 0; at < chunks_of(tensor->size); at++) w->owners[tensor->first_chunk + at] = i;
        if (tensor->size > CHUNK) tensor->table = table, table += BINS;
    }
    return 1;
}

static void count_all(Work *w, unsigned threads) {
    if (w->numbers < SMALL) {
        work(w);
    } else {
        Py_BEGIN_ALLOW_THREADS
        in_threads(w, threads);
        Py_END_ALLOW_THREADS
    }
    for (size_t i = 0; i < w->length; i++)
        if (w->tensors[i].table) finish(w, w->tensors + i, w->tensors[i].table);
}

static PyObject *sketch(PyObject *module, PyObject *args) {
    PyObject *addresses, *sizes, *found = NULL;
    Work w = {0};
    unsigned threads;
    if (!PyArg_ParseTuple(args, "OOiI", &addresses, &sizes, &w.first_bin, &threads)) return NULL;
    Py_ssize_t length = PyList_Size(addresses);
    if (length < 0 || length != PyList_Size(sizes)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected as many addresses as sizes");
        return NULL;
    }
    w.tensors = malloc(((size_t)length + 1) * sizeof *w.tensors);
    if (!w.tensors) return PyErr_NoMemory();
    if (read_tensors(&w, addresses, sizes, length) && allocate(&w)) {
        count_all(&w, threads);
        found = packed(&w);
    }
    free(w.tensors), free(w.totals), free(w.owners), free(w.shared), free(w.bins), free(w.counts);
    return found;
}

static PyMethodDef methods[] = {
    {"sketch", sketch, METH_VARARGS, "Cells and totals of tensors; _counting.pyi tells more."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_counting", "Loops over float32 numbers.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__counting(void) { return PyModule_Create(&definition); }
