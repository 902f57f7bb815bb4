/* The bytes of an event file, compiled: checksums, and histograms as TensorBoard stores them.

   It is optional. Where no compiler was at hand when the package was built, records.py and histograms.py give the
   same bytes; _encoding.pyi says what the functions take and give. */

#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "numbers are stored with the least byte first"
#endif

#define SLICES 8
#define LAST_BIN 16784 /* of puffer_callbacks.histogram.bins */

static uint32_t crc_table[SLICES][256];

/* Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4); a table for each byte of a word, so that a word
   is one step ("slicing by 8", Kounavis and Berry 2005). */
static void fill_crc_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        crc_table[0][i] = crc;
    }
    for (int k = 1; k < SLICES; k++)
        for (int i = 0; i < 256; i++)
            crc_table[k][i] = crc_table[k - 1][i] >> 8 ^ crc_table[0][crc_table[k - 1][i] & 0xFF];
}

static PyObject *crc32c(PyObject *module, PyObject *args) {
    const unsigned char *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y#", &data, &size)) return NULL;
    uint32_t crc = 0xFFFFFFFFu;
    for (; size >= 8; size -= 8, data += 8) {
        uint32_t low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = crc_table[7][low & 0xFF] ^ crc_table[6][low >> 8 & 0xFF] ^ crc_table[5][low >> 16 & 0xFF] ^
              crc_table[4][low >> 24] ^ crc_table[3][high & 0xFF] ^ crc_table[2][high >> 8 & 0xFF] ^
              crc_table[1][high >> 16 & 0xFF] ^ crc_table[0][high >> 24];
    }
    for (; size > 0; size--, data++) crc = crc >> 8 ^ crc_table[0][(crc ^ *data) & 0xFF];
    return PyLong_FromUnsignedLong(crc ^ 0xFFFFFFFFu);
}

/* The bins side by side: right edges and counts, a run of empty bins in between as one; gives how many. */
static size_t row_of(const int32_t *bins, const int64_t *counts, size_t size, double low, double high,
                     const double *edges, double *limits, double *counted) {
    size_t found = 0;
    double before = low; /* the left edge of the last bin */
    for (size_t k = 0; k < size; k++) {
        double left = edges[bins[k]];
        if (k && left > limits[found - 1]) limits[found] = left, counted[found++] = 0;
        if (found) before = limits[found - 1];
        limits[found] = edges[bins[k] + 1], counted[found++] = (double)counts[k];
    }
    if (!found) return limits[0] = 1, counted[0] = 0, 1;
    double above = nextafter(before, INFINITY); /* a value alone still needs a bin of some width */
    limits[found - 1] = high > above ? high : above;
    return found;
}

static size_t length_of(size_t number) {
    size_t length = 1;
    for (; number > 127; number >>= 7) length++;
    return length;
}

static size_t field_of(size_t content) { return 1 + length_of(content) + content; }

/* The key of a field whose content has a length, and the length, in the wire format of protocol buffers. */
static char *put_head(char *out, int field, size_t content) {
    *out++ = (char)(field << 3 | 2);
    for (; content > 127; content >>= 7) *out++ = (char)((content & 127) | 128);
    *out++ = (char)content;
    return out;
}

static char *put_bytes(char *out, int field, const void *content, size_t size) {
    out = put_head(out, field, size);
    memcpy(out, content, size);
    return out + size;
}

/* Zero is what a field is that is not there. */
static char *put_double(char *out, int field, double number) {
    if (number == 0) return out;
    *out = (char)(field << 3 | 1);
    memcpy(out + 1, &number, 8);
    return out + 9;
}

/* A Summary.Value with its tag and, as the field histo, a HistogramProto. */
static PyObject *histogram(PyObject *module, PyObject *args) {
    const char *tag, *in_bins, *in_counts;
    Py_ssize_t tag_size, bins_size, counts_size;
    double low, high, sum, squares, number = 0;
    unsigned long long edges;
    if (!PyArg_ParseTuple(args, "y#y#y#ddddK", &tag, &tag_size, &in_bins, &bins_size, &in_counts, &counts_size, &low,
                          &high, &sum, &squares, &edges))
        return NULL;
    size_t size = (size_t)bins_size / 4;
    const int32_t *bins = (const int32_t *)in_bins;
    const int64_t *counts = (const int64_t *)in_counts;
    if (size != (size_t)counts_size / 8)
        return PyErr_SetString(PyExc_ValueError, "expected as many bins as counts"), NULL;
    for (size_t k = 0; k < size; k++) {
        if (bins[k] < -LAST_BIN || bins[k] > LAST_BIN) return PyErr_SetString(PyExc_IndexError, "no such bin"), NULL;
        number += (double)counts[k];
    }
    double *limits = malloc((4 * size + 2) * sizeof *limits), *counted = limits + 2 * size + 1;
    if (!limits) return PyErr_NoMemory();
    if (!size) low = high = 0;
    const double *all = (const double *)(uintptr_t)edges;
    size_t row = 8 * row_of(bins, counts, size, low, high, all, limits, counted);
    const double totals[] = {low, high, number, sum, squares};
    size_t histo = 2 * field_of(row);
    for (int i = 0; i < 5; i++) histo += totals[i] == 0 ? 0 : 9;
    size_t value = field_of((size_t)tag_size) + field_of(histo);
    PyObject *found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)field_of(value));
    if (found) {
        char *out = put_head(PyBytes_AsString(found), 1, value);
        out = put_head(put_bytes(out, 1, tag, (size_t)tag_size), 5, histo);
        for (int i = 0; i < 5; i++) out = put_double(out, i + 1, totals[i]);
        put_bytes(put_bytes(out, 6, limits, row), 7, counted, row);
    }
    free(limits);
    return found;
}

static PyMethodDef methods[] = {{"crc32c", crc32c, METH_VARARGS, "The CRC-32C of bytes."},
                                {"histogram", histogram, METH_VARARGS, "A histogram as a field of a Summary."},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_encoding", "Bytes of an event file.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__encoding(void) {
    fill_crc_table();
    return PyModule_Create(&definition);
}
