#pragma once
// Files: tensors and models as safetensors, and checkpoints of a training.
#include "teeny/io/checkpoint.h"
#include "teeny/io/elements.h"
#include "teeny/io/safetensors.h"
