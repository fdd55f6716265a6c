#pragma once
// For tests of what fusing does: how many kernels there are, and what is written in place. FUSE=0 does not reach them.
#include "teeny/graph/context.h"

struct AlwaysFused : teeny::ExecutionScope {
  AlwaysFused() : ExecutionScope({.fuse = true}) {}
};
