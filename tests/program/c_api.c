/* The C header as C sees it: the MNIST network's logits, as the Jit had them, from one thread and from eight; and errors
 * as text.
 *
 *   c_api MNIST.teeny LOGITS */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "teeny/c_api.h"

static teeny_program *net;
static float wanted[10], pixels[784];
static int failures;

static void check(int holds, const char *what) {
  if (holds) return;
  ++failures;
  fprintf(stderr, "c_api: not so: %s (the last error: %s)\n", what, teeny_error());
}

static void check_error(int result, const char *part) {
  if (result == -1 && strstr(teeny_error(), part)) return;
  ++failures;
  fprintf(stderr, "c_api: wanted the error \"%s\", and got %d: %s\n", part, result, teeny_error());
}

/* Whether all of its runs gave the wanted bits: null, or a text. */
static void *run_often(void *unused) {
  teeny_array x, y;
  float logits[10];
  int i;
  (void)unused;
  if (teeny_input(net, 0, 0, &x) || teeny_output(net, 0, 0, &y)) return "no description";
  x.data = pixels;
  y.data = logits;
  for (i = 0; i < 50; ++i) {
    memset(logits, 0, sizeof logits);
    if (teeny_run(net, &x, 1, &y, 1)) return "a run failed";
    if (memcmp(logits, wanted, sizeof wanted)) return "other logits";
  }
  return NULL;
}

static char *contents_of(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  char *bytes = malloc(1 << 22);
  if (!file || !bytes) exit(2);
  *size = fread(bytes, 1, 1 << 22, file);
  fclose(file);
  return bytes;
}

static void wrong_calls(void) {
  teeny_array x, y, wrong;
  float logits[10];
  check(!teeny_load(NULL) && strstr(teeny_error(), "the path is null"), "a null path");
  check(!teeny_load("/nowhere/net.teeny") && strstr(teeny_error(), "/nowhere/net.teeny: cannot read"), "no file");
  check(!teeny_load_bytes(NULL, 3) && strstr(teeny_error(), "null"), "null bytes");
  check(!teeny_load_bytes("something", 9) && strstr(teeny_error(), "no safetensors file"), "other bytes");
  check_error(teeny_calls(NULL), "the program is null");
  check_error(teeny_inputs(net, 1), "call 1: the program has 1");
  check_error(teeny_outputs(net, -1), "call -1");
  check_error(teeny_input(net, 0, 1, &x), "input 1: the call has 1");
  check_error(teeny_output(net, 0, 0, NULL), "the description is null");
  check_error(teeny_run(NULL, &x, 1, &y, 1), "the program is null");
  teeny_free(NULL);
  if (teeny_input(net, 0, 0, &x) || teeny_output(net, 0, 0, &y)) exit(2);
  check_error(teeny_run(net, &x, 1, &y, 1), "input 0: its data is null");
  x.data = pixels;
  check_error(teeny_run(net, &x, 1, &y, 1), "output 0: its data is null");
  y.data = logits;
  check_error(teeny_run(net, NULL, 1, &y, 1), "the inputs are null");
  check_error(teeny_run(net, &x, 1, NULL, 1), "the outputs are null");
  check_error(teeny_run(net, &x, -1, &y, 1), "less than none");
  check_error(teeny_run(net, &x, 0, &y, 1), "0 inputs");
  check_error(teeny_run(net, &x, 1, &y, 0), "0 outputs; the call has 1");
  wrong = x;
  wrong.shape[0] = 2;
  check_error(teeny_run(net, &wrong, 1, &y, 1), "3136 bytes; float32 (2, 1, 28, 28) needs 6272");
  wrong = x;
  wrong.shape[2] = 27;
  check_error(teeny_run(net, &wrong, 1, &y, 1), "input 0 (image) is float32 (1, 1, 27, 28)");
  wrong = x;
  wrong.rank = 17;
  check_error(teeny_run(net, &wrong, 1, &y, 1), "rank 17");
  wrong = x;
  wrong.dtype = 8;
  check_error(teeny_run(net, &wrong, 1, &y, 1), "dtype 8");
  wrong = x;
  wrong.shape[0] = wrong.shape[1] = (int64_t)1 << 40;
  check_error(teeny_run(net, &wrong, 1, &y, 1), "too large");
  wrong = y;
  wrong.shape[1] = 9;
  check_error(teeny_run(net, &x, 1, &wrong, 1), "output 0 (logits) is to be float32 (1, 9); it is float32 (1, 10)");
}

int main(int count, char **arguments) {
  pthread_t threads[8];
  char *bytes, shifted[sizeof pixels + 1];
  teeny_array x, y;
  float logits[10];
  size_t size;
  int i;
  if (count != 3) return 2;
  bytes = contents_of(arguments[2], &size);
  if (size != sizeof wanted) return 2;
  memcpy(wanted, bytes, size);
  free(bytes);
  for (i = 0; i < 784; ++i) pixels[i] = (float)i / 784;

  net = teeny_load(arguments[1]);
  if (!net) return fprintf(stderr, "c_api: %s\n", teeny_error()), 1;
  check(teeny_calls(net) == 1 && teeny_inputs(net, 0) == 1 && teeny_outputs(net, 0) == 1, "one call, input and output");
  check(!teeny_input(net, 0, 0, &x) && !strcmp(x.name, "image") && x.dtype == TEENY_FLOAT32 && x.rank == 4, "an image");
  check(x.shape[0] == 1 && x.shape[3] == 28 && x.bytes == sizeof pixels && !x.data, "its shape");
  check(!teeny_output(net, 0, 0, &y) && !strcmp(y.name, "logits") && y.rank == 2 && y.shape[1] == 10, "ten logits");
  check(!run_often(NULL), "the same bits");
  memcpy(shifted + 1, pixels, sizeof pixels); /* elements that are not aligned */
  x.data = shifted + 1;
  y.data = logits;
  check(!teeny_run(net, &x, 1, &y, 1) && !memcmp(logits, wanted, sizeof wanted), "the same bits of bytes that lie anywhere");
  wrong_calls();

  for (i = 0; i < 8; ++i)
    if (pthread_create(&threads[i], NULL, run_often, NULL)) return 2;
  for (i = 0; i < 8; ++i) {
    void *wrong;
    pthread_join(threads[i], &wrong);
    check(!wrong, wrong ? wrong : "");
  }
  teeny_free(net);

  bytes = contents_of(arguments[1], &size);
  net = teeny_load_bytes(bytes, size);
  memset(bytes, 0, size);
  free(bytes);
  check(net && !run_often(NULL), "the same bits from a copy of the file's bytes");
  teeny_free(net);
  if (!failures) puts("c_api: the same bits from C, from 8 threads, and from bytes");
  return failures != 0;
}
