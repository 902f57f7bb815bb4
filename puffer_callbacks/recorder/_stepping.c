/* What is done at every training step, compiled: numbers are added up, and nobody else is asked.

   It is optional. Where no compiler was at hand when the package was built, stepping.py adds the same numbers up;
   _stepping.pyi says what the classes do. Whatever a step executes is fetched into the processor's caches anew and
   displaces what training had there, so a few machine instructions cost far less than a few lines of Python. */

#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>

#include "_sums.h"

typedef struct {
    PyObject_HEAD
    PyObject *counters, *slow, *go_on, *clock, *sums, *rates, *position; /* sums are NULL while it is closed */
    long long steps, until, ends, mark;
    double due, spent;
    Py_ssize_t passed;
} Passage;

static PyTypeObject *sums_type;
static PyObject *optimizer_steps, *learning_rates, *accumulate_grad_batches; /* names, made once */

/* The number of what is given away here; -1 with an error where there is none. */
static long long number_of(PyObject *object) {
    long long number = object ? PyLong_AsLongLong(object) : -1;
    Py_XDECREF(object);
    return number;
}

static int has_same_rates(const Passage *self) {
    PyObject *rates = PyObject_GetAttr(self->counters, learning_rates);
    Py_XDECREF(rates);
    return rates == self->rates;
}

/* Where the run is on the x axis; -1 where something is due, or nobody knows. */
static long long quiet_at(Passage *self, PyObject *trainer, double now) {
    if (now >= self->due || !has_same_rates(self)) return -1;
    long long steps = number_of(PyObject_GetAttr(self->counters, optimizer_steps));
    if (steps < 0 || steps >= self->until) return -1;
    if (number_of(PyObject_GetAttr(trainer, accumulate_grad_batches)) != 1) return -1;
    self->steps = steps;
    if (!self->position || self->position == Py_None) return steps;
    return number_of(PyObject_CallNoArgs(self->position));
}

static int add_outputs(Passage *self, PyObject *outputs) {
    PyObject *all = Py_NewRef(self->sums); /* whatever is called may close the passage */
    Py_ssize_t length = PyTuple_Size(all);
    Sums *first = length ? (Sums *)PyTuple_GetItem(all, 0) : NULL;
    int is_read = first ? read_row(first, outputs) : 1;
    for (Py_ssize_t i = 0; is_read > 0 && i < length; i++) add_row((Sums *)PyTuple_GetItem(all, i), first->row);
    Py_DECREF(all);
    return is_read;
}

static int read_clock(Passage *self, double *now) {
    PyObject *seconds = PyObject_CallNoArgs(self->clock);
    if (!seconds) return 0;
    *now = PyFloat_AsDouble(seconds);
    Py_DECREF(seconds);
    return *now != -1 || !PyErr_Occurred();
}

static int go_on(Passage *self, long long at) {
    int moved = at > self->mark, ends = self->steps >= self->ends;
    if (!moved && !ends) return 1;
    if (moved) self->mark = LLONG_MAX;
    if (ends) self->ends = LLONG_MAX;
    PyObject *nothing = PyObject_CallFunctionObjArgs(self->go_on, ends ? Py_True : Py_False, NULL);
    Py_XDECREF(nothing);
    return nothing ? 1 : -1;
}

/* 1 where the step was taken, 0 where it is the slow way's, -1 for what ends the run. */
static int pass(Passage *self, PyObject *trainer, PyObject *outputs) {
    double began, ended;
    if (!self->sums) return 0;
    if (!read_clock(self, &began)) return -1;
    long long at = quiet_at(self, trainer, began);
    int passes = at >= 0 && self->sums ? add_outputs(self, outputs) : 0;
    if (passes <= 0) return passes;
    if (!read_clock(self, &ended)) return -1;
    self->spent += ended - began;
    self->passed++;
    return self->sums ? go_on(self, at) : 1;
}

static PyObject *passage_call(PyObject *object, PyObject *args, PyObject *named) {
    Passage *self = (Passage *)object;
    int is_plain = PyTuple_Size(args) == 5 && (!named || !PyDict_Size(named));
    int passes = is_plain ? pass(self, PyTuple_GetItem(args, 0), PyTuple_GetItem(args, 2)) : 0;
    if (passes > 0) Py_RETURN_NONE;
    if (passes < 0 || (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))) return NULL;
    PyErr_Clear();
    if (!self->slow) Py_RETURN_NONE; /* it is garbage already */
    return PyObject_Call(self->slow, args, named);
}

static PyObject *passage_close(PyObject *object, PyObject *nothing) {
    Passage *self = (Passage *)object;
    PyObject *sums = self->sums, *rates = self->rates, *position = self->position;
    int was_open = sums != NULL;
    self->sums = self->rates = self->position = NULL;
    Py_XDECREF(sums);
    Py_XDECREF(rates);
    Py_XDECREF(position);
    return PyBool_FromLong(was_open);
}

static PyObject *passage_open(PyObject *object, PyObject *args) {
    Passage *self = (Passage *)object, to = {0};
    if (!PyArg_ParseTuple(args, "O!LLdOOL", &PyTuple_Type, &to.sums, &to.until, &to.ends, &to.due, &to.rates,
                          &to.position, &to.mark))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_Size(to.sums); i++) {
        PyObject *each = PyTuple_GetItem(to.sums, i), *first = PyTuple_GetItem(to.sums, 0);
        if (Py_TYPE(each) != sums_type) return PyErr_SetString(PyExc_TypeError, "expected Sums"), NULL;
        int is_alike = PyObject_RichCompareBool(((Sums *)each)->names, ((Sums *)first)->names, Py_EQ);
        if (is_alike < 1) return is_alike ? NULL : (PyErr_SetString(PyExc_ValueError, "expected the same names"), NULL);
    }
    Py_XDECREF(passage_close(object, NULL));
    self->sums = Py_NewRef(to.sums), self->rates = Py_NewRef(to.rates);
    self->position = Py_NewRef(to.position), self->mark = to.mark;
    self->until = to.until, self->ends = to.ends, self->due = to.due;
    Py_RETURN_NONE;
}

static PyObject *passage_take(PyObject *object, PyObject *nothing) {
    Passage *self = (Passage *)object;
    PyObject *taken = Py_BuildValue("nd", self->passed, self->spent);
    self->passed = 0, self->spent = 0;
    return taken;
}

static PyObject *passage_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    PyObject *counters, *slow, *go_on, *clock;
    if (!PyArg_ParseTuple(args, "OOOO", &counters, &slow, &go_on, &clock)) return NULL;
    Passage *self = (Passage *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->counters = Py_NewRef(counters), self->clock = Py_NewRef(clock);
    self->slow = Py_NewRef(slow), self->go_on = Py_NewRef(go_on);
    return (PyObject *)self;
}

static int passage_traverse(PyObject *object, visitproc visit, void *arg) {
    Passage *self = (Passage *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->counters);
    Py_VISIT(self->slow);
    Py_VISIT(self->go_on);
    Py_VISIT(self->clock);
    Py_VISIT(self->sums);
    Py_VISIT(self->rates);
    Py_VISIT(self->position);
    return 0;
}

static int passage_clear(PyObject *object) {
    Passage *self = (Passage *)object;
    Py_XDECREF(passage_close(object, NULL));
    Py_CLEAR(self->counters);
    Py_CLEAR(self->slow);
    Py_CLEAR(self->go_on);
    Py_CLEAR(self->clock);
    return 0;
}

static void passage_free(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    passage_clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef passage_methods[] = {{"open", passage_open, METH_VARARGS, NULL},
                                        {"close", passage_close, METH_NOARGS, NULL},
                                        {"take", passage_take, METH_NOARGS, NULL},
                                        {NULL, NULL, 0, NULL}};
static PyType_Slot passage_slots[] = {{Py_tp_doc, "The way through a step at which nothing is due."},
                                      {Py_tp_new, passage_new},
                                      {Py_tp_call, passage_call},
                                      {Py_tp_traverse, passage_traverse},
                                      {Py_tp_clear, passage_clear},
                                      {Py_tp_dealloc, passage_free},
                                      {Py_tp_methods, passage_methods},
                                      {0, NULL}};
static PyType_Spec passage_spec = {"puffer_callbacks.recorder._stepping.Passage", sizeof(Passage), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, passage_slots};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_stepping", "What is done at every training step.", -1, NULL, NULL, NULL, NULL, NULL};

static int add_type(PyObject *module, const char *name, PyObject *type) {
    if (!type) return -1;
    Py_INCREF(type); /* the module takes one reference, and open() compares with it */
    return PyModule_AddObject(module, name, type);
}

PyMODINIT_FUNC PyInit__stepping(void) {
    PyObject *module = PyModule_Create(&definition);
    optimizer_steps = PyUnicode_InternFromString("optimizer_steps");
    learning_rates = PyUnicode_InternFromString("learning_rates");
    accumulate_grad_batches = PyUnicode_InternFromString("accumulate_grad_batches");
    if (!module || !optimizer_steps || !learning_rates || !accumulate_grad_batches) return NULL;
    sums_type = (PyTypeObject *)PyType_FromSpec(&sums_spec);
    if (add_type(module, "Sums", (PyObject *)sums_type)) return NULL;
    PyObject *passage_type = PyType_FromSpec(&passage_spec);
    return add_type(module, "Passage", passage_type) ? NULL : module;
}
