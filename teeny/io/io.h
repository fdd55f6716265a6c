#pragma once
// Files: tensors and models as safetensors, in PyTorch's and in NumPy's formats, and checkpoints of a training.
#include "teeny/io/checkpoint.h"
#include "teeny/io/elements.h"
#include "teeny/io/npy.h"
#include "teeny/io/safetensors.h"
#include "teeny/files/signature.h"
#include "teeny/io/summary.h"
#include "teeny/io/torch.h"
