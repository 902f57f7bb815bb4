/* The compiled kernel of histograms: counts many float32 arrays by their top bits, in one pass over each.

   It is optional: native.py chooses between it and chunks.py, which counts the same. _counting.pyi documents the
   function. Only the limited API of Python 3.11 is used, which brought the buffer protocol. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "_kernels.h"

/* Threads are those of the OpenMP runtime that torch has loaded. Threads of our own, or a second runtime, would
   compete with them for the processors: OpenMP's keep spinning for a while after each of torch's operations.
   GOMP_parallel is what compilers call for "#pragma omp parallel"; both GNU's runtime and LLVM's export it. */
typedef void Parallel(void (*)(void *), void *, unsigned, unsigned);
static Parallel *parallel;

#if defined(__linux__)
#include <dlfcn.h>
#define FETCH_ADD(counter, n) __atomic_fetch_add(&(counter), n, __ATOMIC_RELAXED)
static void find_threads(void) {
    void *symbol = dlsym(RTLD_DEFAULT, "GOMP_parallel");
    memcpy(&parallel, &symbol, sizeof parallel);
}
#else
#define FETCH_ADD(counter, n) (((counter) += (n)) - (n))
static void find_threads(void) {}
#endif

typedef struct {
    Py_buffer view;
    const float *x;
    size_t size, first_chunk, first_bin, found; /* where its chunks and its bins begin, and how many bins are filled */
    uint32_t *table;                            /* the sum over its chunks; an array of one chunk needs none */
    uint32_t zeros;
    int skipped; /* it needs float64 */
} Array;

typedef struct {
    Array *arrays;
    size_t length, chunks, bins_needed, tables_needed, numbers;
    Totals *totals;   /* of each chunk */
    size_t *owners;   /* of each chunk, its array */
    uint32_t *tables; /* of the arrays of several chunks */
    int32_t *bins;    /* each array has room for all bins that it may fill */
    int64_t *counts;
    size_t next_chunk;
} Work;

static size_t chunks_of(size_t size) { return (size + CHUNK - 1) / CHUNK; }

static void finish_array(Work *w, Array *array, const uint32_t *table) {
    array->skipped = needs_float64(table, array->zeros);
    if (!array->skipped) array->found = filled_bins(table, w->bins + array->first_bin, w->counts + array->first_bin);
}

/* Runs in several threads at once: each takes the next chunk when it is free. */
static void count_chunks(void *argument) {
    Work *w = argument;
    uint32_t tables[4][TABLE];
    for (size_t at; (at = FETCH_ADD(w->next_chunk, 1)) < w->chunks;) {
        Array *array = w->arrays + w->owners[at];
        size_t start = (at - array->first_chunk) * CHUNK, left = array->size - start;
        size_t size = left < CHUNK ? left : CHUNK;
        w->totals[at] = count_chunk(array->x + start, size, tables);
        if (zero_or_denormal(tables[0])) FETCH_ADD(array->zeros, count_zeros(array->x + start, size));
        if (!array->table) {
            finish_array(w, array, tables[0]);
        } else {
            for (int at = 0; at < BINS; at += PER_OCTAVE) {
                if (is_empty(tables[0] + at)) continue;
                for (int b = at; b < at + PER_OCTAVE; b++) FETCH_ADD(array->table[b], tables[0][b]);
            }
        }
    }
}

static void count_arrays(Work *w, unsigned threads) {
    if (threads > w->chunks) threads = (unsigned)w->chunks;
    if (w->numbers < SMALL) {
        count_chunks(w); /* too short to let other Python threads run */
    } else {
        Py_BEGIN_ALLOW_THREADS
        if (parallel && threads > 1)
            parallel(count_chunks, w, threads, 0);
        else
            count_chunks(w);
        Py_END_ALLOW_THREADS
    }
    for (size_t i = 0; i < w->length; i++)
        if (w->arrays[i].table) finish_array(w, w->arrays + i, w->arrays[i].table);
}

static int add_array(Work *w, PyObject *object) {
    Array *array = w->arrays + w->length;
    if (PyObject_GetBuffer(object, &array->view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) return 0;
    w->length++; /* from here on its buffer is released at the end */
    array->x = array->view.buf;
    array->size = (size_t)array->view.len / sizeof(float);
    array->first_chunk = w->chunks;
    array->first_bin = w->bins_needed;
    int is_float = array->view.format && !strcmp(array->view.format, "f");
    if (!is_float || (uintptr_t)array->x % _Alignof(float) || array->size == 0 || array->size > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "count: expected arrays of 1 to 2**32 - 1 aligned float32 numbers");
        return 0;
    }
    w->chunks += chunks_of(array->size);
    w->bins_needed += array->size < BINS ? array->size : BINS;
    w->tables_needed += array->size > CHUNK;
    w->numbers += array->size;
    return 1;
}

static int allocate(Work *w) {
    w->totals = malloc((w->chunks + 1) * sizeof *w->totals);
    w->owners = malloc((w->chunks + 1) * sizeof *w->owners);
    w->tables = calloc(w->tables_needed + 1, sizeof(uint32_t[BINS]));
    w->bins = malloc((w->bins_needed + 1) * sizeof *w->bins);
    w->counts = malloc((w->bins_needed + 1) * sizeof *w->counts);
    if (!(w->totals && w->owners && w->tables && w->bins && w->counts)) return PyErr_NoMemory(), 0;
    uint32_t *table = w->tables;
    for (size_t i = 0; i < w->length; i++) {
        Array *array = w->arrays + i;
        for (size_t at = 0; at < chunks_of(array->size); at++) w->owners[array->first_chunk + at] = i;
        if (array->size > CHUNK) array->table = table, table += BINS;
    }
    return 1;
}

static PyObject *result_of(const Work *w, const Array *array) {
    if (array->skipped) Py_RETURN_NONE;
    Totals t = w->totals[array->first_chunk];
    for (size_t i = 1; i < chunks_of(array->size); i++) {
        const Totals *chunk = w->totals + array->first_chunk + i;
        t.low = chunk->low < t.low ? chunk->low : t.low;
        t.high = chunk->high > t.high ? chunk->high : t.high;
        t.sum += chunk->sum;
        t.squares += chunk->squares;
    }
    Py_ssize_t bin = sizeof *w->bins, count = sizeof *w->counts, found = (Py_ssize_t)array->found;
    const int32_t *bins = w->bins + array->first_bin;
    const int64_t *counts = w->counts + array->first_bin;
    /* Adding 0.0 turns -0.0 into 0.0. */
    return Py_BuildValue("y#y#dddd", bins, found * bin, counts, found * count, t.low + 0.0, t.high + 0.0, t.sum + 0.0,
                         t.squares);
}

static PyObject *results(const Work *w) {
    PyObject *list = PyList_New((Py_ssize_t)w->length);
    for (size_t i = 0; list && i < w->length; i++) {
        PyObject *result = result_of(w, w->arrays + i);
        if (!result || PyList_SetItem(list, (Py_ssize_t)i, result)) Py_CLEAR(list);
    }
    return list;
}

static PyObject *count(PyObject *module, PyObject *args) {
    PyObject *objects, *found = NULL;
    Work w = {0};
    unsigned threads;
    if (!PyArg_ParseTuple(args, "O!I:count", &PyList_Type, &objects, &threads)) return NULL;
    Py_ssize_t length = PyList_Size(objects);
    w.arrays = calloc((size_t)length + 1, sizeof *w.arrays);
    if (!w.arrays) return PyErr_NoMemory();
    int is_right = 1;
    for (Py_ssize_t i = 0; is_right && i < length; i++) is_right = add_array(&w, PyList_GetItem(objects, i));
    if (is_right && allocate(&w)) {
        count_arrays(&w, threads);
        found = results(&w);
    }
    for (size_t i = 0; i < w.length; i++) PyBuffer_Release(&w.arrays[i].view);
    free(w.arrays), free(w.totals), free(w.owners), free(w.tables), free(w.bins), free(w.counts);
    return found;
}

static PyMethodDef methods[] = {
    {"count", count, METH_VARARGS, "Filled bins and totals of float32 arrays; see _counting.pyi."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_counting", "The compiled kernel of histograms.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__counting(void) {
    find_threads();
    PyObject *module = PyModule_Create(&definition);
    if (module && (PyModule_AddIntMacro(module, BINS) || PyModule_AddIntMacro(module, FIRST_BIN) ||
                   PyModule_AddIntMacro(module, CHUNK) || PyModule_AddIntMacro(module, SMALL) ||
                   PyModule_AddIntConstant(module, "HAS_THREADS", parallel != NULL)))
        Py_CLEAR(module);
    return module;
}
