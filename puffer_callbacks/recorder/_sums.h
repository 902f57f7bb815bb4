/* The sums of a step's numbers, as stepping.py has them. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <structmember.h>

typedef struct {
    double sum, rest; /* what rounding took from the sum (Neumaier 1974) */
    Py_ssize_t finite, others;
} Total;

typedef struct {
    PyObject_HEAD
    PyObject *names, *read;
    Py_ssize_t length, steps;
    Total *totals;
    double *row;
    int is_reading;
} Sums;

static void add_number(Total *total, double number) {
    if (!isfinite(number)) {
        total->others++;
        return;
    }
    double sum = total->sum + number;
    total->rest += fabs(total->sum) >= fabs(number) ? total->sum - sum + number : number - sum + total->sum;
    total->sum = sum;
    total->finite++;
}

static void add_row(Sums *self, const double *row) {
    for (Py_ssize_t i = 0; i < self->length; i++) add_number(self->totals + i, row[i]);
    self->steps++;
}

static int read_number(Sums *self, PyObject *value, double *number) {
    int is_number = PyFloat_Check(value) || PyLong_Check(value);
    PyObject *read = is_number ? Py_NewRef(value) : PyObject_CallFunctionObjArgs(self->read, value, NULL);
    if (!read) return 0;
    *number = PyFloat_AsDouble(read);
    Py_DECREF(read);
    return *number != -1 || !PyErr_Occurred();
}

static int is_name(PyObject *key, PyObject *name) {
    return key == name || (PyUnicode_CheckExact(key) && PyUnicode_Compare(key, name) == 0);
}

/* Into the row; -1 for what ends the run, as Ctrl-C. */
static int read_values(Sums *self, PyObject *outputs) {
    PyObject *key, *value;
    Py_ssize_t place = 0, i = 0;
    while (PyDict_Next(outputs, &place, &key, &value)) {
        if (i >= self->length || !is_name(key, PyTuple_GetItem(self->names, i))) return 0;
        Py_INCREF(value); /* whoever reads it might change the outputs */
        int has_number = read_number(self, value, self->row + i++);
        Py_DECREF(value);
        if (has_number) continue;
        if (!PyErr_ExceptionMatches(PyExc_Exception)) return -1;
        PyErr_Clear();
        return 0;
    }
    return i == self->length;
}

/* Whether the outputs are numbers of these names, which are in the row then. Whoever reads must not come here again. */
static int read_row(Sums *self, PyObject *outputs) {
    if (self->is_reading || !PyDict_CheckExact(outputs) || PyDict_Size(outputs) != self->length) return 0;
    self->is_reading = 1;
    int is_read = read_values(self, outputs);
    self->is_reading = 0;
    return is_read;
}

static PyObject *sums_add(PyObject *object, PyObject *outputs) {
    Sums *self = (Sums *)object;
    int is_read = read_row(self, outputs);
    if (is_read < 0) return NULL;
    if (is_read) add_row(self, self->row);
    return PyBool_FromLong(is_read);
}

static PyObject *sums_take(PyObject *object, PyObject *nothing) {
    Sums *self = (Sums *)object;
    PyObject *taken = PyDict_New();
    for (Py_ssize_t i = 0; taken && i < self->length; i++) {
        Total t = self->totals[i];
        self->totals[i] = (Total){0};
        if (!t.finite && !t.others) continue;
        PyObject *total = Py_BuildValue("dnn", isfinite(t.rest) ? t.sum + t.rest : t.sum, t.finite, t.others);
        if (!total || PyDict_SetItem(taken, PyTuple_GetItem(self->names, i), total)) Py_CLEAR(taken);
        Py_XDECREF(total);
    }
    return taken;
}

static PyObject *sums_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    PyObject *names, *read;
    if (!PyArg_ParseTuple(args, "O!O", &PyTuple_Type, &names, &read)) return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_Size(names); i++)
        if (!PyUnicode_CheckExact(PyTuple_GetItem(names, i)))
            return PyErr_SetString(PyExc_TypeError, "expected names that are strings"), NULL;
    Sums *self = (Sums *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->length = PyTuple_Size(names);
    self->names = Py_NewRef(names);
    self->read = Py_NewRef(read);
    self->totals = calloc((size_t)self->length + 1, sizeof *self->totals);
    self->row = calloc((size_t)self->length + 1, sizeof *self->row);
    if (self->totals && self->row) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static void sums_free(PyObject *object) {
    Sums *self = (Sums *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->names);
    Py_XDECREF(self->read);
    free(self->totals), free(self->row);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMemberDef sums_members[] = {{"names", T_OBJECT, offsetof(Sums, names), READONLY, NULL},
                                     {"steps", T_PYSSIZET, offsetof(Sums, steps), READONLY, NULL},
                                     {NULL, 0, 0, 0, NULL}};
static PyMethodDef sums_methods[] = {{"add", sums_add, METH_O, NULL}, {"take", sums_take, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot sums_slots[] = {{Py_tp_doc, "Sums of a step's numbers."}, {Py_tp_new, sums_new}, {Py_tp_dealloc, sums_free},
                                   {Py_tp_members, sums_members}, {Py_tp_methods, sums_methods}, {0, NULL}};
static PyType_Spec sums_spec = {"puffer_callbacks.recorder._stepping.Sums", sizeof(Sums), 0, Py_TPFLAGS_DEFAULT, sums_slots};
