/* A program file (teeny/program/program.h) for C, and for all that can call C: no tensor, no graph, only what was recorded.
 *
 *   teeny_program *net = teeny_load("net.teeny");
 *   teeny_array x, y;
 *   if (!net || teeny_input(net, 0, 0, &x) || teeny_output(net, 0, 0, &y)) puts(teeny_error());
 *   x.data = pixels, y.data = malloc(y.bytes);
 *   if (teeny_run(net, &x, 1, &y, 1)) puts(teeny_error());
 *   teeny_free(net);
 *
 * A program has one call for each combination of input shapes that was saved. Several threads may use one program at
 * once; calls that change its state, as a training step does, wait for each other. Functions that return an int give
 * 0 when all went well, or a number where they say so, and -1 when it did not: then teeny_error says why, and nothing
 * was done. No function ends the program, whatever the file is, and for null pointers, too. */
#ifndef TEENY_C_API_H
#define TEENY_C_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TEENY_API __attribute__((visibility("default")))
#else
#define TEENY_API
#endif

/* A bool is a byte, 0 or 1. */
enum {
  TEENY_BOOL,
  TEENY_UINT8,
  TEENY_INT32,
  TEENY_INT64,
  TEENY_FLOAT16,
  TEENY_BFLOAT16,
  TEENY_FLOAT32,
  TEENY_FLOAT64
};

enum { TEENY_MAX_RANK = 16 };

/* An input or an output: its description, and where its elements are, in the host's memory, row-major. */
typedef struct teeny_array {
  const char *name;              /* as long as the program lives; teeny_run does not look at it */
  int32_t dtype;                 /* TEENY_FLOAT32 .. */
  int32_t rank;                  /* how many sizes there are in shape */
  int64_t shape[TEENY_MAX_RANK];
  void *data;                    /* null in a description */
  uint64_t bytes;                /* in a description: what the elements need; else what there is at data */
} teeny_array;

typedef struct teeny_program teeny_program;

/* The program in this file, or in these bytes, which are copied; null if it is none, or would do what it must not. */
TEENY_API teeny_program *teeny_load(const char *path);
TEENY_API teeny_program *teeny_load_bytes(const void *bytes, size_t size);

/* How many calls there are; and of one of them, inputs and outputs. */
TEENY_API int teeny_calls(const teeny_program *program);
TEENY_API int teeny_inputs(const teeny_program *program, int call);
TEENY_API int teeny_outputs(const teeny_program *program, int call);

/* Describes one of them. */
TEENY_API int teeny_input(const teeny_program *program, int call, int number, teeny_array *description);
TEENY_API int teeny_output(const teeny_program *program, int call, int number, teeny_array *description);

/* Runs the call that has these inputs, which are not copied where the device works in the host's memory, and copies
 * its outputs to where `outputs` say, whose dtypes and shapes are those of the call. */
TEENY_API int teeny_run(teeny_program *program, const teeny_array *inputs, int number_of_inputs,
                        const teeny_array *outputs, int number_of_outputs);

/* What went wrong last in this thread, in UTF-8: until something else does. */
TEENY_API const char *teeny_error(void);

TEENY_API void teeny_free(teeny_program *program);

#ifdef __cplusplus
}
#endif
#endif
