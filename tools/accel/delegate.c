/* An external delegate for TensorFlow Lite that works, or fails in the way that its options say.

   It is what a vendor's library is: tflite_plugin_create_delegate makes a delegate from options, the
   delegate claims operators of the graph, and the runtime calls it for them. It computes with the
   runtime's own kernels, one operator after the other. The structs are the part that it needs of
   TensorFlow Lite's C interface, which has not changed since 2.4.

   Options:
     fault    none, refuse_load, refuse_graph, refuse_run, hang_load, hang_run, crash_load,
              crash_run, wrong, leak (none)
     while    the fault lasts while this file exists (always)
     after    the fault begins after that many runs (0)
     item     the fault strikes only items whose first byte is this one (any)
     device   a file that must exist, as a device would (none)
     claim    how many operators to claim (all)                                                 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum { OK = 0, ERROR = 1 } Status;
typedef struct { int size; int data[]; } IntArray;

typedef struct Context Context;
typedef struct Delegate Delegate;

/* TfLiteTensor, as far as its data. */
typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  void *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs;
  IntArray *outputs;
  IntArray *intermediates;
  IntArray *temporaries;
  void *user_data;
  void *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
  Delegate *delegate;
  bool might_have_side_effect;
} Node;

typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  Status (*prepare)(Context *, Node *);
  Status (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *later_versions[8];
} Registration;

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  Status (*ResizeTensor)(Context *, Tensor *, IntArray *);
  void (*ReportError)(Context *, const char *, ...);
  Status (*AddTensors)(Context *, int, int *);
  Status (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *,
                                                  Delegate *);
};

typedef struct { Delegate *delegate; IntArray *nodes; IntArray *inputs; IntArray *outputs; } Params;

struct Delegate {
  void *data;
  Status (*Prepare)(Context *, Delegate *);
  void *copy_from_buffer_handle, *copy_to_buffer_handle, *free_buffer_handle;
  int64_t flags;
  void *opaque_delegate_builder;
};

/* The operators that were claimed, as they were before. */
enum { TEMPORARIES = 8 };
typedef struct {
  int index;
  Node node;
  Registration registration;
  Tensor temporaries[TEMPORARIES];
} Claimed;

typedef struct {
  Delegate delegate;
  char *fault, *fault_file, *device;
  int claim, after, item;
  int runs, first_byte;
  int claimed_count;
  Claimed *claimed;
} Plugin;

static bool failing(const Plugin *plugin, const char *fault) {
  if (strcmp(plugin->fault, fault) != 0) return false;
  if (plugin->after > 0 && plugin->runs <= plugin->after) return false;
  if (plugin->item >= 0 && plugin->item != plugin->first_byte) return false;
  return plugin->fault_file == NULL || access(plugin->fault_file, F_OK) == 0;
}

static bool away(const Plugin *plugin) {
  return plugin->device != NULL && access(plugin->device, F_OK) != 0;
}

static void hang(void) { for (;;) pause(); }

static void *kernel_init(Context *context, const char *buffer, size_t length) {
  (void)context; (void)length;
  const Params *params = (const Params *)buffer;
  Plugin *plugin = params->delegate->data;
  for (int i = 0; i < plugin->claimed_count; i++)
    if (plugin->claimed[i].index == params->nodes->data[0]) return &plugin->claimed[i];
  return NULL;
}

static void kernel_free(Context *context, void *data) { (void)context; (void)data; }

static IntArray *copied(const IntArray *array) {
  size_t bytes = sizeof(int) * (size_t)(array->size + 1);
  return memcpy(malloc(bytes), array, bytes);
}

/* Keep what the kernel needs beside its inputs and outputs: the runtime plans no memory for it. */
static Status kernel_prepare(Context *context, Node *node) {
  Claimed *claimed = node->user_data;
  if (claimed == NULL) return ERROR;
  if (claimed->registration.prepare == NULL) return OK;
  Status status = claimed->registration.prepare(context, &claimed->node);
  IntArray *wanted = claimed->node.temporaries;
  for (int i = 0; status == OK && i < wanted->size && i < TEMPORARIES; i++) {
    Tensor *kept = &claimed->temporaries[i];
    if (context->tensors[wanted->data[i]].dims == NULL) continue; /* not used for this shape */
    if (kept->data == NULL || kept->bytes < context->tensors[wanted->data[i]].bytes) {
      free(kept->data);
      *kept = context->tensors[wanted->data[i]];
      kept->data = malloc(kept->bytes + 64);
      kept->dims = copied(kept->dims);
    }
  }
  return status;
}

static void lend_temporaries(Context *context, Claimed *claimed) {
  IntArray *wanted = claimed->node.temporaries;
  for (int i = 0; i < wanted->size && i < TEMPORARIES; i++)
    if (claimed->temporaries[i].data != NULL)
      context->tensors[wanted->data[i]] = claimed->temporaries[i];
}

/* Every value of the first output, turned round: the numbers of another picture, say. */
static void spoil(Context *context, const Node *node) {
  Tensor *tensor = &context->tensors[node->outputs->data[0]];
  uint8_t *bytes = tensor->data;
  size_t size = tensor->type == 1 ? 4 : 1; /* float32, or 8 bits */
  for (size_t i = 0, j = tensor->bytes - size; i < j; i += size, j -= size) {
    uint8_t kept[4];
    memcpy(kept, bytes + i, size);
    memcpy(bytes + i, bytes + j, size);
    memcpy(bytes + j, kept, size);
  }
}

static Status kernel_invoke(Context *context, Node *node) {
  Claimed *claimed = node->user_data;
  Plugin *plugin = node->delegate->data;
  if (claimed == plugin->claimed) { /* a run begins */
    plugin->first_byte = *(uint8_t *)context->tensors[node->inputs->data[0]].data;
    plugin->runs++;
  }
  if (failing(plugin, "hang_run")) hang();
  if (failing(plugin, "crash_run")) abort();
  if (failing(plugin, "leak")) memset(malloc(32 << 20), 1, 32 << 20);
  if (failing(plugin, "refuse_run") || away(plugin)) {
    context->ReportError(context, away(plugin) ? "the device is gone" : "the device is busy");
    return ERROR;
  }
  lend_temporaries(context, claimed);
  Status status = claimed->registration.invoke(context, &claimed->node);
  if (status == OK && failing(plugin, "wrong")) spoil(context, &claimed->node);
  return status;
}

static Status claim_one(Context *context, Plugin *plugin, int index) {
  Node *node;
  Registration *registration;
  if (context->GetNodeAndRegistration(context, index, &node, &registration) != OK) return ERROR;
  Claimed *claimed = &plugin->claimed[plugin->claimed_count++];
  *claimed = (Claimed){.index = index, .node = *node, .registration = *registration};
  /* Kernels free and replace this array; the runtime goes on to free that of its own node. */
  claimed->node.temporaries = calloc(1, sizeof(int));
  Registration kernel = {.init = kernel_init, .free = kernel_free, .prepare = kernel_prepare,
                         .invoke = kernel_invoke, .custom_name = "TestDelegate", .version = 1};
  IntArray *one = malloc(2 * sizeof(int));
  one->size = 1;
  one->data[0] = index;
  Status status =
      context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, one, &plugin->delegate);
  free(one);
  return status;
}

static Status delegate_prepare(Context *context, Delegate *delegate) {
  Plugin *plugin = delegate->data;
  if (failing(plugin, "refuse_graph")) {
    context->ReportError(context, "an operator of this graph is not supported");
    return ERROR;
  }
  IntArray *plan;
  if (context->GetExecutionPlan(context, &plan) != OK) return ERROR;
  int count = plan->size < plugin->claim ? plan->size : plugin->claim;
  int *indices = malloc(sizeof(int) * (size_t)(count + 1)); /* the plan changes with each claim */
  memcpy(indices, plan->data, sizeof(int) * (size_t)count);
  plugin->claimed = calloc((size_t)count + 1, sizeof(Claimed));
  Status status = OK;
  for (int i = 0; i < count && status == OK; i++) status = claim_one(context, plugin, indices[i]);
  free(indices);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report_error)(const char *)) {
  Plugin *plugin = calloc(1, sizeof(Plugin));
  plugin->fault = strdup("none");
  plugin->claim = 1 << 20;
  plugin->item = -1;
  for (size_t i = 0; i < count; i++) {
    if (strcmp(keys[i], "fault") == 0) plugin->fault = strdup(values[i]);
    else if (strcmp(keys[i], "while") == 0) plugin->fault_file = strdup(values[i]);
    else if (strcmp(keys[i], "device") == 0) plugin->device = strdup(values[i]);
    else if (strcmp(keys[i], "claim") == 0) plugin->claim = atoi(values[i]);
    else if (strcmp(keys[i], "after") == 0) plugin->after = atoi(values[i]);
    else if (strcmp(keys[i], "item") == 0) plugin->item = atoi(values[i]);
    else { report_error("there is no such option"); return NULL; }
  }
  if (failing(plugin, "hang_load")) hang();
  if (failing(plugin, "crash_load")) abort();
  if (failing(plugin, "refuse_load")) { report_error("the device is in use"); return NULL; }
  if (away(plugin)) { report_error("there is no device"); return NULL; }
  plugin->delegate.data = plugin;
  plugin->delegate.Prepare = delegate_prepare;
  return &plugin->delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
  Plugin *plugin = delegate->data;
  free(plugin->claimed);
  free(plugin);
}
