/* A libedgetpu.so.1 without an Edge TPU: TFLite's external delegate interface, and a native misbehaviour to choose.
 *
 * Loaded by the real runtimes through their real load_delegate. Claims `edgetpu-custom-op` and computes for it what
 * tests/make_tiny_models.py has the CPU model compute. What it does is in the file that $FAKE_EDGETPU names, read anew
 * at every load and every call, so that a device can be pulled out and put back:
 *   ok | load-null | load-error | load-segfault | load-abort | load-hang | prepare-error
 *   | run-error | run-segfault | run-abort | run-hang | run-wrong
 *
 * No headers of TensorFlow are installed with the runtimes: what follows repeats as much as is needed of
 * tensorflow/lite/core/c/common.h, the same in 2.14 and in LiteRT 2. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct { int type; union { uint8_t *u8; } data; IntArray *dims; char rest[88]; } Tensor; /* 112 bytes */
typedef struct { IntArray *inputs, *outputs, *intermediates, *temporaries; } Node;
typedef struct Context Context;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace_operator;
} Registration;
typedef struct Delegate {
  void *data;
  int (*prepare)(Context *, struct Delegate *);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void *opaque_builder;
} Delegate;
struct Context {
  size_t tensors_size;
  int (*GetExecutionPlan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  int (*ResizeTensor)(Context *, Tensor *, IntArray *);
  void (*ReportError)(Context *, const char *, ...);
  int (*AddTensors)(Context *, int, int *);
  int (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
  int (*ReplaceNodes)(Context *, Registration, const IntArray *, Delegate *);
};
_Static_assert(sizeof(Tensor) == 112, "TfLiteTensor");

static int is_now(const char *what) {
  char now[32] = "ok";
  const char *path = getenv("FAKE_EDGETPU");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (file) {
    if (fscanf(file, "%31s", now) != 1) strcpy(now, "ok");
    fclose(file);
  }
  return strcmp(now, what) == 0;
}

static void misbehave(const char *segfault, const char *abort_, const char *hang) {
  if (is_now(segfault)) *(volatile int *)8 = 1;
  if (is_now(abort_)) abort();
  if (is_now(hang)) for (;;) pause();
}

static void *init(Context *context, const char *buffer, size_t length) { return NULL; }
static void release(Context *context, void *buffer) {}
static int prepare_node(Context *context, Node *node) { return is_now("prepare-error") ? 1 : 0; }

static int invoke(Context *context, Node *node) {
  static const double weights[3][3] = {{-4, 8, -4}, {8, -4, -4}, {-4, -4, 8}}; /* rows R, G, B */
  misbehave("run-segfault", "run-abort", "run-hang");
  if (is_now("run-error")) {
    context->ReportError(context, "fake: transfer on tag 1 failed");
    return 1;
  }
  const uint8_t *pixels = context->tensors[node->inputs->data[0]].data.u8;
  uint8_t *answer = context->tensors[node->outputs->data[0]].data.u8;
  double mean[3] = {0, 0, 0};
  for (int i = 0; i < 64 * 3; i++) mean[i % 3] += (pixels[i] - 127) * (2.0 / 255) / 64;
  for (int label = 0; label < 3; label++) {
    double logit = 0;
    for (int colour = 0; colour < 3; colour++) logit += mean[colour] * weights[colour][label];
    int value = (int)(logit / 0.0941176488995552 + 85.5);
    answer[label] = is_now("run-wrong") ? 255 : value < 0 ? 0 : value > 255 ? 255 : value;
  }
  return 0;
}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  Registration mine = {.init = init, .free = release, .prepare = prepare_node, .invoke = invoke,
                       .custom_name = "fake-edgetpu", .version = 1};
  if (context->GetExecutionPlan(context, &plan) != 0) return 1;
  IntArray *claimed = calloc(1, sizeof(int) * (plan->size + 1));
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) != 0) return 1;
    if (registration->custom_name && strcmp(registration->custom_name, "edgetpu-custom-op") == 0)
      claimed->data[claimed->size++] = plan->data[i];
  }
  int status = context->ReplaceNodes(context, mine, claimed, delegate);
  free(claimed);
  return status;
}

/* Like the real one, it serves one process at a time. */
static int is_free(void) {
  const char *path = getenv("FAKE_EDGETPU_LOCK");
  int file = path ? open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) : -1;
  return file < 0 || flock(file, LOCK_EX | LOCK_NB) == 0;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  misbehave("load-segfault", "load-abort", "load-hang");
  if (is_now("load-error")) report("fake: USB transfer error 2 [LibUsbDataOut]");
  if (is_now("load-error") || is_now("load-null") || !is_free()) return NULL;
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  delegate->flags = 1; /* dynamic tensors allowed: else the unknown operator is prepared before we are asked for it */
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
